/*
 * The C client of calc.x.  What it prints is the same with every right server.
 *
 *   calc_client HOST udp|tcp all             every procedure once, and what came
 *   calc_client HOST udp|tcp counter COUNT   CALC_COUNTER so many times; the last answer
 *   calc_client HOST udp|tcp who UID         CALC_WHO with AUTH_SYS
 *   calc_client HOST udp|tcp cut             CALC_CUT: what the library says
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "calc.h"

static CLIENT *client, *client2;

static void failed(const char *what)
{
    clnt_perror(client, what);
    exit(1);
}

#define CALL(status, what) \
    do { \
        if ((status) != RPC_SUCCESS) \
            failed(what); \
    } while (0)

static void numbers(void)
{
    static const char *signs[] = {"+", "-", "*", "/"};
    quad_t operands[][2] = {{1, 2}, {-5, 3}, {1LL << 40, -3}, {7, 0}};
    for (int what = ADD; what <= DIV; what++)
        for (int i = 0; i < 4; i++) {
            args given = {what, operands[i][0], operands[i][1]};
            result plain;
            outcome tried = {0};
            CALL(calc_do_1(given, &plain, client), "CALC_DO");
            CALL(calc_try_1(given, &tried, client), "CALC_TRY");
            printf("%" PRId64 " %s %" PRId64 ": status %d value %" PRId64, (int64_t)given.a, signs[what], (int64_t)given.b,
                   plain.status, (int64_t)plain.value);
            if (tried.status == FINE)
                printf(", fine %" PRId64 "\n", (int64_t)tried.outcome_u.value);
            else if (tried.status == BY_ZERO)
                printf(", by zero\n");
            else
                printf(", verdict %d: %s\n", tried.status, tried.outcome_u.why);
            xdr_free((xdrproc_t)xdr_outcome, (char *)&tried);
        }
}

static void lists(int length)
{
    node *nodes = calloc(length ? length : 1, sizeof *nodes);
    quad_t sum;
    list back = NULL;
    for (int i = 0; i < length; i++) {
        nodes[i].value = i * i - 5;
        nodes[i].next = i + 1 < length ? &nodes[i + 1] : NULL;
    }
    CALL(calc_sum_1(length ? nodes : NULL, &sum, client), "CALC_SUM");
    CALL(calc_reverse_1(length ? nodes : NULL, &back, client), "CALC_REVERSE");
    printf("list of %d: sum %" PRId64 ", reversed", length, (int64_t)sum);
    int count = 0;
    for (node *at = back; at; at = at->next)
        if (count++ < 5)
            printf(" %d", at->value);
    printf(", %d nodes\n", count);
    free(nodes); /* what came back is left: freeing it recurses */
}

static void echo(int size)
{
    blob given = {size, malloc(size + 1)}, back = {0, NULL};
    for (int i = 0; i < size; i++)
        given.blob_val[i] = (char)(i * 7 + i / 256);
    CALL(calc_echo_1(given, &back, client), "CALC_ECHO");
    int same = back.blob_len == (u_int)size && !memcmp(back.blob_val, given.blob_val, size);
    printf("echo of %d: %s\n", size, same ? "same" : "NOT THE SAME");
    xdr_free((xdrproc_t)xdr_blob, (char *)&back);
    free(given.blob_val);
}

static void print_all_of(const everything *it)
{
    printf("everything: %d %u %" PRId64 " %" PRIu64 " %d %g %g %d", it->small, it->natural, (int64_t)it->large,
           (uint64_t)it->vast, it->flag, it->single, it->twice, it->what);
    printf(" %02x%02x%02x%02x%02x some %u", (u_char)it->five[0], (u_char)it->five[1], (u_char)it->five[2],
           (u_char)it->five[3], (u_char)it->five[4], it->some.some_len);
    for (u_int i = 0; i < it->some.some_len; i++)
        printf(" %02x", (u_char)it->some.some_val[i]);
    printf(" \"%s\" words", it->text);
    for (int i = 0; i < 8; i++)
        printf(" %d", it->fixed[i]);
    printf(" counts %u:", it->counts.counts_len);
    for (u_int i = 0; i < it->counts.counts_len; i++)
        printf(" %u", it->counts.counts_val[i]);
    for (u_int i = 0; i < it->corners.corners_len; i++)
        printf(" (%g, %g)", it->corners.corners_val[i].x, it->corners.corners_val[i].y);
    if (it->centre)
        printf(" centre (%g, %g)", it->centre->x, it->centre->y);
    printf(" note %s", it->note.present ? it->note.maybe_text_u.text : "none");
    printf(" last %d %s\n", it->last.status, it->last.status == TOO_BIG ? it->last.outcome_u.why : "");
}

static void types(void)
{
    u_int counts[] = {0, 1, 4294967295u};
    point corners[] = {{0, 0}, {1.5, -2.25}, {1e300, -1e-300}}, centre = {0.5, 0.25};
    everything given = {
        .small = -2147483648, .natural = 4294967295u, .large = INT64_MIN, .vast = UINT64_MAX, .flag = TRUE,
        .single = 1.5f, .twice = -0.1, .what = DIV, .five = "\x00\x01\xfe\xff\x80", .some = {3, "\x01\x02\x03"},
        .text = "gr\xc3\xbc\xc3\x9f dich", .fixed = {1, -2, 3, -4, 5, -6, 7, -8}, .counts = {3, counts},
        .corners = {3, corners}, .centre = &centre, .note = {TRUE, {"noted"}}, .last = {TOO_BIG, {.why = "why not"}},
    };
    everything back = {0}, empty = {.text = "", .last = {BY_ZERO}}, back_too = {0};
    CALL(calc_everything_1(given, &back, client), "CALC_EVERYTHING");
    print_all_of(&back);
    CALL(calc_everything_1(empty, &back_too, client), "CALC_EVERYTHING");
    print_all_of(&back_too);
}

static void who(void)
{
    caller answer = {0};
    CALL(calc_who_1(&answer, client), "CALC_WHO");
    printf("flavor %d machine %s uid %u gid %u gids", answer.flavor, answer.machine, answer.uid, answer.gid);
    for (u_int i = 0; i < answer.gids.gids_len; i++)
        printf(" %u", answer.gids.gids_val[i]);
    printf("\n");
}

static void all(int stream)
{
    u_int number;
    quad_t sum;
    char text[CALC_NAME_MAX + 1] = "", *greeting = text;
    numbers();
    lists(0);
    lists(3);
    lists(1000);
    echo(0);
    echo(1);
    echo(8000);
    if (stream)
        echo(900000);
    CALL(calc_greet_1("w\xc3\xb6rld", &greeting, client), "CALC_GREET");
    printf("%s\n", greeting);
    types();
    who();
    CALL(calc_sleep_1(20, &number, client), "CALC_SLEEP");
    printf("slept %u\n", number);
    CALL(calc_reset_2(NULL, client2), "CALC_RESET");
    for (int i = 0; i < 3; i++)
        CALL(calc_counter_1(&number, client), "CALC_COUNTER");
    printf("counter %u", number);
    CALL(calc_count_1(&number, client), "CALC_COUNT");
    printf(", still %u\n", number);
    CALL(calc_add3_2(1LL << 50, -1, 7, &sum, client2), "CALC_ADD3");
    printf("sum of three %" PRId64 "\n", (int64_t)sum);
    struct timeval patience = {5, 0};
    enum clnt_stat status =
        clnt_call(client, 99, (xdrproc_t)xdr_void, NULL, (xdrproc_t)xdr_void, NULL, patience);
    printf("procedure 99: %s\n", clnt_sperrno(status));
}

static CLIENT *connected(const char *host, u_long version, const char *protocol)
{
    CLIENT *made = clnt_create(host, CALC, version, protocol);
    if (!made) {
        clnt_pcreateerror("calc_client");
        exit(1);
    }
    struct timeval retry = {1, 0}; /* else it is 15 s */
    if (!strcmp(protocol, "udp"))
        clnt_control(made, CLSET_RETRY_TIMEOUT, (char *)&retry);
    return made;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: calc_client HOST udp|tcp all|counter COUNT|who UID|cut\n");
        return 2;
    }
    client = connected(argv[1], CALC_V1, argv[2]);
    client2 = connected(argv[1], CALC_V2, argv[2]);
    int number = argc > 4 ? atoi(argv[4]) : 0;
    if (!strcmp(argv[3], "all")) {
        all(!strcmp(argv[2], "tcp"));
    } else if (!strcmp(argv[3], "counter")) {
        u_int answer = 0;
        while (number-- > 0)
            CALL(calc_counter_1(&answer, client), "CALC_COUNTER");
        printf("%u\n", answer);
    } else if (!strcmp(argv[3], "who")) {
        gid_t groups[] = {7, 8, 9};
        client->cl_auth = authunix_create("teapot", number, 77, 3, groups);
        who();
    } else {
        u_int answer;
        printf("%s\n", clnt_sperrno(calc_cut_1(&answer, client)));
    }
    return 0;
}

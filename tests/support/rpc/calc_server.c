/* The C server of calc.x: calc_server PORT; PORT 0 chooses one.  Over UDP and TCP, registered with rpcbind. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "calc.h"

/* what rpcgen -m makes of calc.x */
extern void calc_1(struct svc_req *, SVCXPRT *);
extern void calc_2(struct svc_req *, SVCXPRT *);

static u_int counter;

static quad_t calculate(const args *given, int *status)
{
    *status = 0;
    switch (given->what) {
    case ADD:
        return given->a + given->b;
    case SUB:
        return given->a - given->b;
    case MUL:
        return given->a * given->b;
    case DIV:
        if (given->b != 0)
            return given->a / given->b;
    }
    *status = 1;
    return 0;
}

bool_t calc_do_1_svc(args given, result *answer, struct svc_req *request)
{
    answer->value = calculate(&given, &answer->status);
    return TRUE;
}

bool_t calc_try_1_svc(args given, outcome *answer, struct svc_req *request)
{
    int status;
    quad_t value = calculate(&given, &status);
    if (status) {
        answer->status = BY_ZERO;
    } else if (value > 1000000000000LL || value < -1000000000000LL) {
        answer->status = TOO_BIG;
        answer->outcome_u.why = "more than 10^12";
    } else {
        answer->status = FINE;
        answer->outcome_u.value = value;
    }
    return TRUE;
}

bool_t calc_sum_1_svc(list first, quad_t *sum, struct svc_req *request)
{
    *sum = 0;
    for (node *at = first; at; at = at->next)
        *sum += at->value;
    return TRUE;
}

bool_t calc_reverse_1_svc(list first, list *reversed, struct svc_req *request)
{
    *reversed = NULL;
    while (first) {
        node *copy = malloc(sizeof *copy);
        copy->value = first->value;
        copy->next = *reversed;
        *reversed = copy;
        first = first->next;
    }
    return TRUE;
}

bool_t calc_echo_1_svc(blob given, blob *answer, struct svc_req *request)
{
    *answer = given;
    return TRUE;
}

bool_t calc_counter_1_svc(u_int *answer, struct svc_req *request)
{
    *answer = ++counter;
    return TRUE;
}

bool_t calc_count_1_svc(u_int *answer, struct svc_req *request)
{
    *answer = counter;
    return TRUE;
}

bool_t calc_sleep_1_svc(u_int milliseconds, u_int *answer, struct svc_req *request)
{
    usleep(milliseconds * 1000);
    *answer = milliseconds;
    return TRUE;
}

bool_t calc_cut_1_svc(u_int *answer, struct svc_req *request)
{
    counter++;
    shutdown(request->rq_xprt->xp_fd, SHUT_RDWR); /* a datagram socket that is not connected does not mind */
    return FALSE;                                 /* no reply */
}

bool_t calc_greet_1_svc(name who, name *answer, struct svc_req *request)
{
    static char text[CALC_NAME_MAX + 1];
    snprintf(text, sizeof text, "hello %s", who);
    *answer = text;
    return TRUE;
}

bool_t calc_everything_1_svc(everything given, everything *answer, struct svc_req *request)
{
    *answer = given;
    return TRUE;
}

bool_t calc_who_1_svc(caller *answer, struct svc_req *request)
{
    memset(answer, 0, sizeof *answer);
    answer->flavor = request->rq_cred.oa_flavor;
    answer->machine = "";
    if (answer->flavor == AUTH_SYS) {
        struct authunix_parms *claim = (struct authunix_parms *)request->rq_clntcred;
        answer->machine = claim->aup_machname;
        answer->uid = claim->aup_uid;
        answer->gid = claim->aup_gid;
        answer->gids.gids_len = claim->aup_len;
        answer->gids.gids_val = claim->aup_gids;
    }
    return TRUE;
}

bool_t calc_add3_2_svc(quad_t a, quad_t b, int c, quad_t *sum, struct svc_req *request)
{
    *sum = a + b + c;
    return TRUE;
}

bool_t calc_reset_2_svc(void *answer, struct svc_req *request)
{
    counter = 0;
    return TRUE;
}

int calc_1_freeresult(SVCXPRT *transport, xdrproc_t how, caddr_t answer)
{
    if (how == (xdrproc_t)xdr_list) /* all others lie in the arguments, or are static */
        for (node *next, *at = *(list *)answer; at; at = next) {
            next = at->next;
            free(at);
        }
    return 1;
}

int calc_2_freeresult(SVCXPRT *transport, xdrproc_t how, caddr_t answer)
{
    return 1;
}

static int bound(int kind, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int on = 1, fd = socket(AF_INET, kind, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address)) {
        perror("calc_server: bind");
        exit(1);
    }
    if (kind == SOCK_STREAM) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* accepted sockets inherit it */
        listen(fd, 64);
    }
    return fd;
}

int main(int argc, char **argv)
{
    int port = argc > 1 ? atoi(argv[1]) : 0;
    SVCXPRT *udp = svcudp_bufcreate(bound(SOCK_DGRAM, port), 65000, 65000);
    SVCXPRT *tcp = svctcp_create(bound(SOCK_STREAM, port), 0, 0);
    if (!udp || !tcp) {
        fprintf(stderr, "calc_server: no transport\n");
        return 1;
    }
    pmap_unset(CALC, CALC_V1);
    pmap_unset(CALC, CALC_V2);
    if (!svc_register(udp, CALC, CALC_V1, calc_1, IPPROTO_UDP) || !svc_register(udp, CALC, CALC_V2, calc_2, IPPROTO_UDP) ||
        !svc_register(tcp, CALC, CALC_V1, calc_1, IPPROTO_TCP) || !svc_register(tcp, CALC, CALC_V2, calc_2, IPPROTO_TCP)) {
        fprintf(stderr, "calc_server: rpcbind does not take it\n");
        return 1;
    }
    printf("serving\n");
    fflush(stdout);
    svc_run();
    return 1;
}

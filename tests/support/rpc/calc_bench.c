/*
 * A load for any RPC server, by libtirpc: calc_bench ADDRESS PORT udp|tcp CLIENTS SECONDS [BYTES]
 *
 * So many processes, each with one call at a time: NULL, or CALC_ECHO of BYTES.  No rpcbind is asked.
 * Prints one line of JSON: {"calls": ..., "seconds": ..., "per_second": ..., "p50_us": ..., "p99_us": ..., "failed": ...}
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "calc.h"

#define SLOTS 20000 /* latencies in microseconds; the last is all above */

struct tally {
    unsigned long calls, failed;
    unsigned long latency[SLOTS];
};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static CLIENT *connected(const struct sockaddr_in *address, int stream)
{
    struct netbuf where = {sizeof *address, sizeof *address, (void *)address};
    int on = 1, fd = socket(AF_INET, stream ? SOCK_STREAM : SOCK_DGRAM, 0);
    if (stream) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        return clnt_vc_create(fd, &where, CALC, CALC_V1, 0, 0);
    }
    CLIENT *made = clnt_dg_create(fd, &where, CALC, CALC_V1, 65000, 65000);
    if (made) {
        struct timeval retry = {1, 0};
        clnt_control(made, CLSET_RETRY_TIMEOUT, (char *)&retry);
        clnt_control(made, CLSET_CONNECT, NULL); /* as fast as it can be */
    }
    return made;
}

static void load(CLIENT *client, int size, double until, struct tally *tally)
{
    blob given = {size, calloc(1, size + 1)}, back;
    struct timeval patience = {25, 0};
    double began = now();
    while (began < until) {
        enum clnt_stat status;
        if (size) {
            memset(&back, 0, sizeof back);
            status = calc_echo_1(given, &back, client);
            xdr_free((xdrproc_t)xdr_blob, (char *)&back);
        } else {
            status = clnt_call(client, NULLPROC, (xdrproc_t)xdr_void, NULL, (xdrproc_t)xdr_void, NULL, patience);
        }
        double ended = now();
        unsigned long slot = (ended - began) * 1e6;
        tally->latency[slot < SLOTS ? slot : SLOTS - 1]++;
        tally->calls++;
        tally->failed += status != RPC_SUCCESS;
        began = ended;
    }
}

static unsigned long quantile(const struct tally *tallies, int clients, unsigned long calls, double part)
{
    unsigned long seen = 0;
    for (int slot = 0; slot < SLOTS; slot++) {
        for (int i = 0; i < clients; i++)
            seen += tallies[i].latency[slot];
        if (seen > calls * part)
            return slot;
    }
    return SLOTS;
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        fprintf(stderr, "usage: calc_bench ADDRESS PORT udp|tcp CLIENTS SECONDS [BYTES]\n");
        return 2;
    }
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    inet_pton(AF_INET, argv[1], &address.sin_addr);
    int stream = !strcmp(argv[3], "tcp"), clients = atoi(argv[4]), size = argc > 6 ? atoi(argv[6]) : 0;
    double seconds = atof(argv[5]);
    struct tally *tallies =
        mmap(NULL, clients * sizeof *tallies, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    double began = now();
    for (int i = 0; i < clients; i++)
        if (fork() == 0) {
            CLIENT *client = connected(&address, stream);
            if (!client) {
                clnt_pcreateerror("calc_bench");
                _exit(1);
            }
            load(client, size, began + seconds, &tallies[i]);
            _exit(0);
        }
    int status, bad = 0;
    while (wait(&status) > 0)
        bad += status != 0;
    double took = now() - began;
    unsigned long calls = 0, failed = 0;
    for (int i = 0; i < clients; i++) {
        calls += tallies[i].calls;
        failed += tallies[i].failed;
    }
    printf("{\"calls\": %lu, \"seconds\": %.3f, \"per_second\": %.1f, \"p50_us\": %lu, \"p99_us\": %lu, \"failed\": %lu}\n",
           calls, took, calls / took, quantile(tallies, clients, calls, 0.5), quantile(tallies, clients, calls, 0.99),
           failed);
    return bad != 0;
}

/* holder: opens many connections to an echo service, and uses some of them.
 *
 *     holder ADDRESS PORT COUNT
 *
 * When all are open and each has had a byte echoed, prints {"opened": COUNT}.  Then it obeys lines on standard input:
 *
 *     use NUMBER SECONDS      a byte to and fro on the first NUMBER connections, again and again, in turn
 *     more COUNT              opens so many more
 *
 * At most OUTSTANDING bytes are on their way.  Answers with one line of JSON; "error" in it is the last one. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 65000, OUTSTANDING = 10, CLOCK_EVERY = 16 };
static int fds[MOST], opened;
static struct sockaddr_in server;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const char *what)
{
    printf("{\"error\": \"%s after %d connections: %s\"}\n", what, opened, strerror(errno));
    exit(1);
}

static void ask(int fd)
{
    if (send(fd, "x", 1, MSG_NOSIGNAL) != 1)
        fail("send");
}

static void hear(int fd)
{
    char byte;

    errno = 0;
    if (recv(fd, &byte, 1, 0) != 1)
        fail("recv");
}

static void more(int count)
{
    const struct timeval patience = {10, 0};
    const struct linger abort = {1, 0}; /* 100 000 times TIME-WAIT would be another benchmark */
    int one = 1;

    for (; count > 0; count--) {
        int fd = opened < MOST ? socket(AF_INET, SOCK_STREAM, 0) : (errno = EMFILE, -1);
        if (fd < 0)
            fail("socket");
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (connect(fd, (struct sockaddr *)&server, sizeof server))
            fail("connect");
        ask(fd);
        hear(fd);
        fds[opened++] = fd;
    }
    printf("{\"opened\": %d}\n", opened);
}

/* The n-th request is on connection n mod `number`; answers are taken in the same order. */
static void use(int number, double seconds)
{
    long long asked = 0, heard = 0;

    if (number < 1 || number > opened || seconds <= 0) {
        errno = EINVAL;
        fail("use");
    }
    int window = number < OUTSTANDING ? number : OUTSTANDING;
    double began = now(), end = began + seconds, done;
    do {
        for (int i = 0; i < CLOCK_EVERY; i++) {
            while (asked - heard < window)
                ask(fds[asked++ % number]);
            hear(fds[heard++ % number]);
        }
    } while ((done = now()) < end);
    long long counted = heard;
    while (heard < asked)
        hear(fds[heard++ % number]);
    printf("{\"requests\": %lld, \"seconds\": %.6f}\n", counted, done - began);
}

int main(int argc, char **argv)
{
    struct rlimit limit;
    char line[128];
    int count;
    double seconds;

    if (argc != 4 || inet_pton(AF_INET, argv[1], &server.sin_addr) != 1)
        return fprintf(stderr, "usage: holder ADDRESS PORT COUNT\n"), 2;
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    server.sin_family = AF_INET;
    server.sin_port = htons((uint16_t)atoi(argv[2]));
    more(atoi(argv[3]));
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "use %d %lf", &count, &seconds) == 2)
            use(count, seconds);
        else if (sscanf(line, "more %d", &count) == 1)
            more(count);
        else
            return fprintf(stderr, "holder: what is %s", line), 2;
    }
    return 0;
}

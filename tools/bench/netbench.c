/* netbench: the client of the benchmarks, on the kernel's sockets.
 *
 *     netbench [-C CONGESTION] send ADDRESS PORT SECONDS            stream to a sink
 *     netbench [-C CONGESTION] receive ADDRESS PORT SECONDS         stream from a source
 *     netbench tcp-rr ADDRESS PORT ROUNDS SIZE                      ping-pong with an echo service
 *     netbench udp-rr ADDRESS PORT ROUNDS SIZE
 *     netbench connect ADDRESS PORT SECONDS CONCURRENT              connect, 16 bytes echoed, close; over and over
 *
 * Prints one JSON object.  Every mode ends by itself: streams and connects after SECONDS, ping-pong after ROUNDS or
 * LIMIT_S.  What went wrong is counted, or said in "error".
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WARM_UP = 100, REQUEST = 16, CHUNK = 1 << 18, MAX_ROUNDS = 10000000, MAX_CONCURRENT = 1024 };
static const int64_t LIMIT_NS = 20000000000; /* for ping-pong */
static const int64_t PATIENCE_NS = 3000000000; /* for one exchange */
static const int64_t CONNECT_NS = 15000000000; /* for the handshake of a stream: three SYNs may get lost */
static const int64_t STALL_NS = 100000000;     /* a stream that stands still looks at the clock that often */

static struct sockaddr_in server;
static const char *congestion;

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void fail(const char *what)
{
    printf("{\"error\": \"%s: %s\"}\n", what, strerror(errno));
    exit(1);
}

static void set_patience(int fd, int64_t ns)
{
    const struct timeval patience = {ns / 1000000000, ns % 1000000000 / 1000};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

static int make_socket(int type)
{
    int one = 1;
    int fd = socket(AF_INET, type, 0);
    if (fd < 0)
        fail("socket");
    set_patience(fd, PATIENCE_NS);
    if ((type & 0xf) == SOCK_STREAM) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (congestion && setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, strlen(congestion)))
            fail("TCP_CONGESTION");
    }
    return fd;
}

static int connected_socket(int type)
{
    int fd = make_socket(type);
    if (connect(fd, (struct sockaddr *)&server, sizeof server))
        fail("connect");
    return fd;
}

/* Bytes that were acknowledged (sending) or read (receiving) per second. */
static void stream(int sending, double seconds)
{
    static char chunk[CHUNK];
    struct tcp_info info = {0};
    socklen_t info_size = sizeof info, name_size = 16;
    char name[17] = "";
    const struct linger abort = {1, 0}; /* what is unsent must not meet the next run */
    int unsent = 0, fd = make_socket(SOCK_STREAM);

    set_patience(fd, CONNECT_NS);
    if (connect(fd, (struct sockaddr *)&server, sizeof server))
        fail("connect");
    set_patience(fd, STALL_NS);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
    int64_t total = 0, start = now_ns(), end = start + (int64_t)(seconds * 1e9), done;

    while ((done = now_ns()) < end) {
        ssize_t n = sending ? send(fd, chunk, CHUNK, MSG_NOSIGNAL) : recv(fd, chunk, CHUNK, 0);
        if (n < 0 && errno == EAGAIN)
            continue;
        if (n <= 0)
            fail(n ? (sending ? "send" : "recv") : "closed by the server");
        total += n;
    }
    if (sending)
        ioctl(fd, SIOCOUTQ, &unsent);
    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &info_size);
    getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &name_size);
    printf("{\"bytes\": %lld, \"seconds\": %.6f, \"gbps\": %.4f, \"retransmits\": %u, \"congestion\": \"%s\"}\n",
           (long long)(total - unsent), (done - start) / 1e9, (total - unsent) * 8.0 / (done - start),
           info.tcpi_total_retrans, name);
    close(fd);
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double percentile_us(const int64_t *sorted, int n, double p)
{
    return n ? sorted[(int)(p * (n - 1))] / 1e3 : 0;
}

/* One message there and back; -1 when the connection or the patience ended.  A late answer to an earlier
 * datagram is told by its number and skipped. */
static int exchange(int fd, int datagrams, char *buffer, int size, uint32_t number)
{
    uint32_t echoed = number;
    int got = 0;

    if (size >= (int)sizeof number)
        memcpy(buffer, &number, sizeof number);
    if (send(fd, buffer, size, MSG_NOSIGNAL) != size)
        return -1;
    while (got < size) {
        ssize_t n = recv(fd, buffer + got, size - got, 0);
        if (n <= 0)
            return -1;
        if (datagrams && size >= (int)sizeof number)
            memcpy(&echoed, buffer, sizeof echoed);
        got = echoed == number ? got + (int)n : 0;
    }
    return 0;
}

static void ping_pong(int datagrams, int rounds, int size)
{
    static char buffer[65536];
    int done = 0, lost = 0, fd = connected_socket(datagrams ? SOCK_DGRAM : SOCK_STREAM);
    int64_t *times, start = now_ns();

    if (rounds < 1 || rounds > MAX_ROUNDS || size < 1 || size > (int)sizeof buffer || !(times = calloc(rounds, sizeof *times))) {
        errno = EINVAL;
        fail("rounds or size");
    }
    for (int i = -WARM_UP; i < rounds && now_ns() - start < LIMIT_NS; i++) {
        int64_t before = now_ns();
        if (exchange(fd, datagrams, buffer, size, (uint32_t)i)) {
            if (!datagrams)
                fail("ping-pong");
            lost++;
        } else if (i >= 0) {
            times[done++] = now_ns() - before;
        }
    }
    qsort(times, done, sizeof *times, by_value);
    printf("{\"rounds\": %d, \"lost\": %d, \"p50_us\": %.2f, \"p99_us\": %.2f, \"max_us\": %.2f}\n", done, lost,
           percentile_us(times, done, .5), percentile_us(times, done, .99), percentile_us(times, done, 1));
    free(times);
    close(fd);
}

struct attempt {
    int fd, sent, got;
    int64_t since;
};

static void begin(struct attempt *a, int epoll)
{
    struct epoll_event event = {EPOLLOUT, {.ptr = a}};
    *a = (struct attempt){make_socket(SOCK_STREAM | SOCK_NONBLOCK), 0, 0, now_ns()};
    if (connect(a->fd, (struct sockaddr *)&server, sizeof server) && errno != EINPROGRESS)
        fail("connect");
    epoll_ctl(epoll, EPOLL_CTL_ADD, a->fd, &event);
}

/* 1: finished, 0: goes on, -1: failed */
static int advance(struct attempt *a, int epoll)
{
    static char buffer[REQUEST];
    struct epoll_event event = {EPOLLIN, {.ptr = a}};

    if (!a->sent) {
        if (send(a->fd, buffer, REQUEST, MSG_NOSIGNAL) != REQUEST)
            return -1;
        a->sent = 1;
        epoll_ctl(epoll, EPOLL_CTL_MOD, a->fd, &event);
        return 0;
    }
    ssize_t n = recv(a->fd, buffer, REQUEST, 0);
    if (n <= 0)
        return -1;
    return (a->got += (int)n) >= REQUEST;
}

static void connects(double seconds, int concurrent)
{
    static struct attempt attempts[MAX_CONCURRENT];
    struct epoll_event events[MAX_CONCURRENT];
    int epoll = epoll_create1(0), finished = 0, failed = 0;
    int64_t start = now_ns(), end = start + (int64_t)(seconds * 1e9);

    if (concurrent < 1 || concurrent > MAX_CONCURRENT) {
        errno = EINVAL;
        fail("concurrent");
    }
    for (int i = 0; i < concurrent; i++)
        begin(&attempts[i], epoll);
    while (now_ns() < end) {
        int n = epoll_wait(epoll, events, concurrent, 100);
        for (int i = 0; i < n; i++) {
            struct attempt *a = events[i].data.ptr;
            int outcome = advance(a, epoll);
            if (outcome) {
                finished += outcome > 0;
                failed += outcome < 0;
                close(a->fd);
                begin(a, epoll);
            }
        }
        for (int i = 0; i < concurrent; i++) {
            if (now_ns() - attempts[i].since > PATIENCE_NS) {
                failed++;
                close(attempts[i].fd);
                begin(&attempts[i], epoll);
            }
        }
    }
    printf("{\"finished\": %d, \"failed\": %d, \"per_second\": %.1f}\n", finished, failed, finished * 1e9 / (now_ns() - start));
}

int main(int argc, char **argv)
{
    int option;

    signal(SIGPIPE, SIG_IGN);
    while ((option = getopt(argc, argv, "+C:")) == 'C')
        congestion = optarg;
    argv += optind;
    argc -= optind;
    if (option == '?' || argc < 4 || inet_pton(AF_INET, argv[1], &server.sin_addr) != 1)
        return fprintf(stderr, "usage: netbench [-C CONGESTION] MODE ADDRESS PORT NUMBER [NUMBER]\n"), 2;
    server.sin_family = AF_INET;
    server.sin_port = htons((uint16_t)atoi(argv[2]));
    const char *mode = argv[0];
    int second = argc > 4 ? atoi(argv[4]) : 1;
    if (!strcmp(mode, "send") || !strcmp(mode, "receive"))
        stream(!strcmp(mode, "send"), atof(argv[3]));
    else if (!strcmp(mode, "tcp-rr") || !strcmp(mode, "udp-rr"))
        ping_pong(!strcmp(mode, "udp-rr"), atoi(argv[3]), second);
    else if (!strcmp(mode, "connect"))
        connects(atof(argv[3]), second);
    else
        return fprintf(stderr, "netbench: unknown mode %s\n", mode), 2;
    return 0;
}

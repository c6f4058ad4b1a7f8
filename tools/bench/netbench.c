/* netbench: the client of the benchmarks, on the kernel's sockets.
 *
 *     netbench [-C CONGESTION] send ADDRESS PORT SECONDS [COUNT]    stream to a sink, or so many at once
 *     netbench [-C CONGESTION] receive ADDRESS PORT SECONDS [COUNT] stream from a source
 *     netbench tcp-rr ADDRESS PORT ROUNDS SIZE                      ping-pong with an echo service
 *     netbench udp-rr ADDRESS PORT ROUNDS SIZE
 *     netbench udp-echo ADDRESS PORT SECONDS OUTSTANDING            datagrams of 64 bytes echoed, so many on their way
 *     netbench udp-source ADDRESS PORT SECONDS                      frames of 64 bytes to a sink, as fast as they go
 *     netbench udp-sink ADDRESS PORT SECONDS                        counts datagrams, from the first one on
 *     netbench connect ADDRESS PORT SECONDS CONCURRENT              connect, 16 bytes echoed, close; over and over
 *
 * Prints one JSON object.  Every mode ends by itself: after SECONDS (a sink without datagrams, too), ping-pong after
 * ROUNDS or LIMIT_NS.  What went wrong is counted, or said in "error".
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
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
enum { BATCH = 64, DATAGRAM = 64, SMALLEST = 18 /* and headers, and the checksum of Ethernet: 64 bytes */ };
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

/* The same with `count` connections at once; how evenly they share is Jain's index: 1 when all are the same. */
static void streams(int sending, double seconds, int count)
{
    static char chunk[CHUNK];
    static int fds[MAX_CONCURRENT];
    static int64_t bytes[MAX_CONCURRENT];
    struct epoll_event events[BATCH];
    const struct linger abort = {1, 0};
    int epoll = epoll_create1(0);
    unsigned retransmits = 0;
    double sum = 0, squares = 0;

    if (count < 1 || count > MAX_CONCURRENT) {
        errno = EINVAL;
        fail("count");
    }
    for (int i = 0; i < count; i++) {
        struct epoll_event event = {sending ? EPOLLOUT : EPOLLIN, {.u32 = (uint32_t)i}};
        fds[i] = make_socket(SOCK_STREAM);
        set_patience(fds[i], CONNECT_NS);
        if (connect(fds[i], (struct sockaddr *)&server, sizeof server))
            fail("connect");
        setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
        epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event);
    }
    int64_t start = now_ns(), end = start + (int64_t)(seconds * 1e9), done;
    while ((done = now_ns()) < end) {
        int n = epoll_wait(epoll, events, BATCH, 100);
        for (int k = 0; k < n; k++) {
            int i = (int)events[k].data.u32;
            ssize_t moved = sending ? send(fds[i], chunk, CHUNK, MSG_NOSIGNAL) : recv(fds[i], chunk, CHUNK, 0);
            if (moved < 0 && errno == EAGAIN)
                continue;
            if (moved <= 0)
                fail(moved ? (sending ? "send" : "recv") : "closed by the server");
            bytes[i] += moved;
        }
    }
    for (int i = 0; i < count; i++) {
        struct tcp_info info = {0};
        socklen_t size = sizeof info;
        int unsent = 0;
        if (sending)
            ioctl(fds[i], SIOCOUTQ, &unsent);
        getsockopt(fds[i], IPPROTO_TCP, TCP_INFO, &info, &size);
        retransmits += info.tcpi_total_retrans;
        double each = (double)(bytes[i] - unsent);
        sum += each;
        squares += each * each;
    }
    printf("{\"bytes\": %.0f, \"seconds\": %.6f, \"gbps\": %.4f, \"retransmits\": %u, \"fairness\": %.4f}\n", sum,
           (double)(done - start) / 1e9, sum * 8.0 / (double)(done - start), retransmits,
           squares > 0 ? sum * sum / (count * squares) : 0);
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

/* A batch of datagrams of `size` bytes, each with a buffer of its own. */
struct batch {
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH];
    char buffers[BATCH][DATAGRAM];
};

static void prepare(struct batch *b, size_t size)
{
    for (int i = 0; i < BATCH; i++) {
        b->parts[i] = (struct iovec){b->buffers[i], size};
        b->messages[i].msg_hdr = (struct msghdr){.msg_iov = &b->parts[i], .msg_iovlen = 1};
    }
}

/* Send `count` datagrams of this generation. */
static void launch(int fd, struct batch *b, int count, uint32_t generation)
{
    for (int i = 0; i < count; i++)
        memcpy(b->buffers[i], &generation, sizeof generation);
    for (int done = 0; done < count;) {
        int n = sendmmsg(fd, b->messages + done, (unsigned)(count - done), 0);
        if (n < 0)
            fail("sendmmsg");
        done += n;
    }
}

/* Every answer is followed by the next datagram.  When none has come for STALL_NS, all that are out are given up as
 * lost, and a new generation begins; what comes late of an older one is not counted. */
static void echoes(double seconds, int outstanding)
{
    static struct batch out, in;
    int fd = connected_socket(SOCK_DGRAM);
    uint32_t generation = 1, echoed;
    long long answered = 0, lost = 0;

    if (outstanding < 1 || outstanding > BATCH) {
        errno = EINVAL;
        fail("outstanding");
    }
    set_patience(fd, STALL_NS);
    prepare(&out, DATAGRAM);
    prepare(&in, DATAGRAM);
    launch(fd, &out, outstanding, generation);
    int64_t start = now_ns(), end = start + (int64_t)(seconds * 1e9), done;
    while ((done = now_ns()) < end) {
        int fresh = 0, n = recvmmsg(fd, in.messages, BATCH, MSG_WAITFORONE, NULL);
        if (n < 0 && errno != EAGAIN)
            fail("recvmmsg");
        if (n < 0) {
            lost += outstanding;
            launch(fd, &out, outstanding, ++generation);
            continue;
        }
        for (int i = 0; i < n; i++) {
            memcpy(&echoed, in.buffers[i], sizeof echoed);
            fresh += echoed == generation && in.messages[i].msg_len == DATAGRAM;
        }
        answered += fresh;
        launch(fd, &out, fresh, generation);
    }
    printf("{\"echoes\": %lld, \"lost\": %lld, \"seconds\": %.6f, \"per_second\": %.1f}\n", answered, lost,
           (double)(done - start) / 1e9, (double)answered * 1e9 / (double)(done - start));
}

/* What the device has no room for is lost there, as on any fast sender; and the sink may have counted enough. */
static void flood(double seconds)
{
    static struct batch out;
    int fd = connected_socket(SOCK_DGRAM);
    long long sent = 0;
    int64_t start = now_ns(), end = start + (int64_t)(seconds * 1e9), done;

    prepare(&out, SMALLEST);
    while ((done = now_ns()) < end) {
        int n = sendmmsg(fd, out.messages, BATCH, 0);
        if (n < 0 && errno != ENOBUFS && errno != EAGAIN && errno != ECONNREFUSED)
            fail("sendmmsg");
        sent += n > 0 ? n : 0;
    }
    printf("{\"sent\": %lld, \"per_second\": %.1f}\n", sent, (double)sent * 1e9 / (double)(done - start));
}

static void sink(double seconds)
{
    static struct batch in;
    int fd = make_socket(SOCK_DGRAM), room = 1 << 25;
    long long received = 0;
    int64_t start = 0, end = now_ns() + CONNECT_NS, done;

    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    if (bind(fd, (struct sockaddr *)&server, sizeof server))
        fail("bind");
    set_patience(fd, STALL_NS);
    prepare(&in, DATAGRAM);
    fprintf(stderr, "ready\n");
    while ((done = now_ns()) < end) {
        int n = recvmmsg(fd, in.messages, BATCH, MSG_WAITFORONE, NULL);
        if (n <= 0)
            continue;
        received += n;
        if (!start)
            start = now_ns(), end = start + (int64_t)(seconds * 1e9);
    }
    printf("{\"received\": %lld, \"per_second\": %.1f}\n", received,
           start ? (double)received * 1e9 / (double)(done - start) : 0);
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
    if ((!strcmp(mode, "send") || !strcmp(mode, "receive")) && second > 1)
        streams(!strcmp(mode, "send"), atof(argv[3]), second);
    else if (!strcmp(mode, "send") || !strcmp(mode, "receive"))
        stream(!strcmp(mode, "send"), atof(argv[3]));
    else if (!strcmp(mode, "tcp-rr") || !strcmp(mode, "udp-rr"))
        ping_pong(!strcmp(mode, "udp-rr"), atoi(argv[3]), second);
    else if (!strcmp(mode, "udp-echo"))
        echoes(atof(argv[3]), second);
    else if (!strcmp(mode, "udp-source"))
        flood(atof(argv[3]));
    else if (!strcmp(mode, "udp-sink"))
        sink(atof(argv[3]));
    else if (!strcmp(mode, "connect"))
        connects(atof(argv[3]), second);
    else
        return fprintf(stderr, "netbench: unknown mode %s\n", mode), 2;
    return 0;
}

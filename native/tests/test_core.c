/* Unit tests of the C core, built with ASan and UBSan (make -C native test).
 *
 * Every buffer is its own allocation of exactly the size that the callee may touch, so that the sanitizer sees
 * the first byte beyond. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "finish.h"
#include "io.h"

#define CHECK(condition)                                                                  \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);               \
            exit(1);                                                                      \
        }                                                                                 \
    } while (0)

static const uint8_t OURS[6] = {2, 0, 0, 0, 0, 2};

static uint8_t *exact(const void *data, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    assert(copy);
    if (len)
        memcpy(copy, data, len);
    return copy;
}

static uint32_t naive_sum(const uint8_t *data, size_t len, uint32_t sum)
{
    for (size_t i = 0; i < len; i++) {
        sum += i & 1 ? data[i] : (uint32_t)data[i] << 8;
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return sum;
}

/* 54 bytes of header (66 with timestamps) for a segment of `pay_len`, nothing filled in yet. */
static uint32_t make_header(uint8_t *out, int timestamps)
{
    static const uint8_t base[54] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 0, 0xff, 0xfe, 0x40, 0,
                                     64, 6, 0, 0, 198, 18, 0, 1, 198, 18, 0, 2, 4, 0, 0, 80, 0xff, 0xff, 0xff, 0xf0,
                                     0, 0, 0, 9, 0x50, 0x99, 0xff, 0xff, 0, 0, 0, 0};
    static const uint8_t option[12] = {1, 1, 8, 10, 0, 0, 0, 11, 0, 0, 0, 22};
    memcpy(out, base, sizeof base);
    if (!timestamps)
        return sizeof base;
    memcpy(out + sizeof base, option, sizeof option);
    out[46] = 0x80;
    return sizeof base + sizeof option;
}

static ts_row parse_one(const uint8_t *frame, uint32_t len, ts_meta *meta)
{
    ts_row row;
    meta->len = len;
    ts_parse(frame, OURS, meta, &row, 1);
    return row;
}

static void test_checksum(void)
{
    srand(1);
    for (size_t len = 0; len < 700; len++) {
        uint8_t *data = exact("", 0);
        free(data);
        data = malloc(len ? len : 1);
        for (size_t i = 0; i < len; i++)
            data[i] = (uint8_t)(len % 3 ? rand() : 0xff);
        uint32_t start = (uint32_t)rand() & 0xffff;
        CHECK(ts_sum(data, len, start) == naive_sum(data, len, start));
        free(data);
    }
    /* RFC 1071 section 3 */
    static const uint8_t example[8] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
    CHECK(ts_sum(example, sizeof example, 0) == 0xddf2);
    /* RFC 1624 section 4 */
    CHECK(ts_update_checksum(0xdd2f, 0x5555, 0x3285) == 0x0000);
}

/* A finished frame, cut at every length: no read beyond, and only the whole of it is a segment. */
static void test_parse_truncated(void)
{
    uint8_t header[80], payload[10] = "0123456789";
    uint32_t len = make_header(header, 1);
    uint32_t how = ts_tx_complete(header, 0, len, payload, 0, 10, TS_TX_FILL_IP | TS_TX_NEEDS_CSUM, 0, 0, 34, 16, 0, 0);
    CHECK(how == 1u << 16);
    memcpy(header + len, payload, 10);
    len += 10;
    for (uint32_t cut = 0; cut <= len; cut++) {
        uint8_t *frame = exact(header, cut);
        ts_meta meta = {0};
        ts_row row = parse_one(frame, cut, &meta);
        CHECK((row.kind == TS_KIND_TCP) == (cut == len));
        if (cut == len)
            CHECK(row.flags == TS_ROW_TS && row.tsval == 11 && row.tsecr == 22 && row.pay_len == 10 &&
                  row.seq == 0xfffffff0);
        free(frame);
    }
}

/* Every pair of option bytes at every distance from the end of the header. */
static void test_options(void)
{
    for (uint32_t at = 0; at < 40; at++)
        for (uint32_t kind = 0; kind < 12; kind++)
            for (uint32_t option_len = 0; option_len < 64; option_len++) {
                uint8_t header[94];
                make_header(header, 0);
                header[46] = 0xf0;
                memset(header + 54, 1, 40);
                header[54 + at] = (uint8_t)kind;
                if (at < 39)
                    header[55 + at] = (uint8_t)option_len;
                CHECK(ts_tx_complete(header, 0, 94, header, 0, 0, TS_TX_FILL_IP | TS_TX_NEEDS_CSUM, 0, 0, 34, 16, 0,
                                     0) == 1u << 16);
                uint8_t *frame = exact(header, 94);
                ts_meta meta = {0};
                ts_row row = parse_one(frame, 94, &meta);
                CHECK(row.kind == TS_KIND_TCP && !(row.flags & TS_ROW_BAD_CSUM));
                if (kind > 1 && (at == 39 || option_len < 2 || option_len > 40 - at))
                    CHECK(row.flags & TS_ROW_BAD_OPTS);
                free(frame);
            }
}

static void test_segmentation(void)
{
    uint8_t header[80], *payload = malloc(10000), *joined = malloc(10000);
    for (int i = 0; i < 10000; i++)
        payload[i] = (uint8_t)(i * 7);
    uint32_t len = make_header(header, 1);
    uint32_t how = ts_tx_complete(header, 0, len, payload, 0, 10000, TS_TX_FILL_IP | TS_TX_NEEDS_CSUM, TS_GSO_TCPV4, 1448,
                                  34, 16, 0, 0);
    CHECK(how >> 16 == 7);
    for (uint32_t i = 0; i < 7; i++) {
        uint32_t size = len + (i < 6 ? 1448 : 10000 - 6 * 1448);
        uint8_t *out = malloc(size);
        CHECK(ts_tx_emit(header, 0, len, payload, 0, 10000, TS_GSO_TCPV4, 1448, 0, i, out) == size);
        ts_meta meta = {0};
        ts_row row = parse_one(out, size, &meta);
        CHECK(row.kind == TS_KIND_TCP && row.flags == TS_ROW_TS && row.pay_len == size - len);
        CHECK(row.seq == (uint32_t)(0xfffffff0 + i * 1448));
        CHECK(row.tcp_flags == ((i == 0 ? 0x80 : 0) | 0x10 | (i == 6 ? 9 : 0)));
        CHECK(get16(out + 18) == (uint16_t)(0xfffe + i));
        memcpy(joined + i * 1448, out + row.pay_off, row.pay_len);
        free(out);
    }
    CHECK(memcmp(joined, payload, 10000) == 0);
    uint8_t none[1];
    CHECK(ts_tx_emit(header, 0, len, payload, 0, 10000, TS_GSO_TCPV4, 1448, 0, 7, none) == 0);
    free(payload);
    free(joined);
}

static void test_tx_refuses_nonsense(void)
{
    uint8_t header[80], byte = 0;
    uint32_t len = make_header(header, 0);
    uint32_t both = TS_TX_FILL_IP | TS_TX_NEEDS_CSUM;
    CHECK(ts_tx_complete(header, 10, 9, &byte, 0, 0, both, 0, 0, 34, 16, 0, 0) == 0);
    CHECK(ts_tx_complete(header, 0, 33, &byte, 0, 0, both, 0, 0, 34, 16, 0, 0) == 0);
    CHECK(ts_tx_complete(header, 0, len, &byte, 0, 0, both, 0, 0, 34, 19, 0, 0) == 0);
    CHECK(ts_tx_complete(header, 0, len, &byte, 0, 0, both, 0, 0, 0xffffffff, 2, 0, 0) == 0);
    CHECK(ts_tx_complete(header, 0, len, &byte, 0, 0xffffffff, both, 0, 0, 34, 16, 0, 0) == 0);
    CHECK(ts_tx_complete(header, 0, len, &byte, 0, 1, both, TS_GSO_TCPV4, 0, 34, 16, 0, 0) == 0);
    CHECK(ts_tx_complete(header, 0, len, &byte, 0, 1, both, TS_GSO_UDP_L4, 100, 34, 6, 0, 0) == 0);
    CHECK(ts_tx_complete(header, 0, len, &byte, 0, 1, both, TS_GSO_TCPV6, 100, 34, 16, 0, 0) == 0);
    header[14] = 0x4f;
    CHECK(ts_tx_complete(header, 0, len, &byte, 0, 1, both, 0, 0, 34, 16, 0, 0) == 0);
}

/* A pair of datagram sockets is as good as a TUN for reading and writing: IP packets pass. */
static void test_bare_io(void)
{
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair) == 0);
    uint8_t header[144], payload[3000];
    uint32_t len = make_header(header, 0), pool_len = 3 * 65600;
    memset(payload, 'p', sizeof payload);
    uint8_t *pool = malloc(pool_len);
    ts_meta meta[2];
    ts_row rows[2];
    for (uint32_t vnet = 0; vnet < 2; vnet++) {
        uint32_t head = vnet ? 10 : 0;
        ts_tap tx = {.fd = pair[0], .vnet = vnet, .bare = 1, .caps = vnet ? 7 : 0, .max_gso = 65000,
                     .header = header, .header_room = len};
        ts_tap rx = {.fd = pair[1], .vnet = vnet, .bare = 1};
        memcpy(rx.mac, OURS, 6);
        uint32_t flags = TS_TX_FILL_IP | TS_TX_NEEDS_CSUM;
        CHECK(ts_tx_send(&tx, 0, len, payload, 3000, 0, 3000, flags, TS_GSO_TCPV4, 1448, 34, 16) == (vnet ? 1 : 3));
        CHECK(recv(pair[1], pool, pool_len, 0) == (ssize_t)(head + len - 14 + (vnet ? 3000 : 1448)));
        CHECK(pool[head] == 0x45); /* no link header */
        if (vnet) {
            uint16_t hdr_len, csum_start;
            memcpy(&hdr_len, pool + 2, 2);
            memcpy(&csum_start, pool + 6, 2);
            CHECK(hdr_len == len - 14 && csum_start == 20);
        }
        while (recv(pair[1], pool, pool_len, 0) >= 0)
            ;
        CHECK(ts_tx_send(&tx, 0, len, payload, 3000, 0, 3000, flags, TS_GSO_TCPV4, 1448, 34, 16) == (vnet ? 1 : 3));
        CHECK(ts_rx_burst(&rx, pool, pool_len, meta, rows, 2) == (vnet ? 1 : 2));
        CHECK(rows[0].kind == TS_KIND_TCP && rows[0].pay_len == (vnet ? 3000 : 1448) && !(rows[0].flags & TS_ROW_BAD_CSUM));
        CHECK(meta[0].csum_start == (vnet ? 34 : 0) && memcmp(pool + meta[0].off, OURS, 6) == 0);
        while (recv(pair[1], pool, pool_len, 0) >= 0)
            ;
        /* a finished frame, all of it payload; then one that is shorter than a link header */
        uint8_t frame[80] = {0};
        memcpy(frame, header, len);
        frame[14] = 0x60;
        CHECK(ts_tx_send(&tx, len, len, frame, len, 0, len, 0, 0, 0, 0, 0) == 1 && ts_tx_flush(&tx) == 0);
        CHECK(ts_rx_burst(&rx, pool, pool_len, meta, rows, 2) == 1);
        CHECK(rows[0].kind == TS_KIND_DROP && rows[0].aux == TS_DROP_ETH_IPV6 && meta[0].len == len);
        CHECK(ts_tx_send(&tx, len, len, frame, len, 0, 13, 0, 0, 0, 0, 0) == -EINVAL);
    }
    close(pair[0]);
    close(pair[1]);
    free(pool);
}

/* An error behind frames is for the next call: a packet socket tells it once. */
static void test_error_after_frames(void)
{
    int pair[2], quiet[2];
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, quiet) == 0);
    uint8_t frame[10 + 144] = {0}, *pool = malloc(2 * 65600);
    ts_meta meta[2];
    ts_row rows[2];
    uint32_t len = 10 + make_header(frame + 10, 1);
    ts_tap rx = {.fd = pair[1], .vnet = 1, .sock = 1};
    CHECK(send(pair[0], frame, len, 0) == (ssize_t)len);
    close(pair[0]);
    CHECK(ts_rx_burst(&rx, pool, 2 * 65600, meta, rows, 2) == 1 && rx.failed == ENODEV);
    rx.fd = quiet[1];
    CHECK(ts_rx_burst(&rx, pool, 2 * 65600, meta, rows, 2) == -ENODEV);
    CHECK(ts_rx_burst(&rx, pool, 2 * 65600, meta, rows, 2) == 0 && rx.failed == 0);
    close(pair[1]);
    close(quiet[0]);
    close(quiet[1]);
    free(pool);
}

/* A pair of datagram sockets is as good as a TAP, too. */
static void test_io(void)
{
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair) == 0);
    uint8_t header[144], *payload = malloc(3000);
    uint32_t len = make_header(header, 1), pool_len = 3 * 65600;
    memset(payload, 'p', 3000);
    uint8_t *pool = malloc(pool_len);
    ts_meta *meta = malloc(2 * sizeof *meta);
    ts_row *rows = malloc(2 * sizeof *rows);
    for (uint32_t vnet = 0; vnet < 2; vnet++) {
        ts_tap tx = {.fd = pair[0], .vnet = vnet, .header = header, .header_room = len};
        ts_tap rx = {.fd = pair[1], .vnet = vnet};
        memcpy(rx.mac, OURS, 6);
        CHECK(ts_rx_burst(&rx, pool, pool_len, meta, rows, 2) == 0);
        CHECK(ts_tx_send(&tx, 0, len, payload, 3000, 1, 2999, TS_TX_FILL_IP | TS_TX_NEEDS_CSUM, TS_GSO_TCPV4, 1448, 34,
                         16) == 3);
        CHECK(ts_rx_burst(&rx, pool, pool_len, meta, rows, 2) == 2);
        CHECK(rows[0].kind == TS_KIND_TCP && rows[0].pay_len == 1448 && rows[0].flags == TS_ROW_TS);
        CHECK(pool[rows[1].pay_off + 1447] == 'p');
        CHECK(ts_rx_burst(&rx, pool, 65660, meta, rows, 2) == 1);
        CHECK(rows[0].pay_len == 2999 - 2 * 1448);
        CHECK(ts_rx_burst(&rx, pool, 65599, meta, rows, 2) == 0);
        CHECK(ts_tx_send(&tx, 0, len + 1, payload, 3000, 0, 1, 0, 0, 0, 0, 0) == -EINVAL);
        CHECK(ts_tx_send(&tx, 0, len, payload, 3000, 1, 3000, 0, 0, 0, 0, 0) == -EINVAL);
        CHECK(ts_tx_send(&tx, 0, len, payload, 3000, 0xffffffff, 2, 0, 0, 0, 0, 0) == -EINVAL);
    }
    ts_tap offload = {.fd = pair[0], .vnet = 1, .caps = 7, .max_gso = 65000, .header = header, .header_room = len};
    ts_tap rx = {.fd = pair[1], .vnet = 1};
    memcpy(rx.mac, OURS, 6);
    CHECK(ts_tx_send(&offload, 0, len, payload, 3000, 0, 3000, TS_TX_FILL_IP | TS_TX_NEEDS_CSUM, TS_GSO_TCPV4, 1448, 34,
                     16) == 1);
    CHECK(ts_rx_burst(&rx, pool, pool_len, meta, rows, 2) == 1);
    CHECK(rows[0].pay_len == 3000 && rows[0].flags == (TS_ROW_TS | TS_ROW_GSO | TS_ROW_PARTIAL));
    CHECK(meta[0].segs == 3 && meta[0].gso_size == 1448 && meta[0].gso_type == (TS_GSO_TCPV4 | TS_GSO_ECN));
    CHECK(send(pair[0], "short", 5, 0) == 5); /* no whole virtio header */
    CHECK(ts_rx_burst(&rx, pool, pool_len, meta, rows, 2) == 0);
    close(pair[0]);
    close(pair[1]);
    CHECK(ts_rx_burst(&rx, pool, pool_len, meta, rows, 2) == -EBADF);
    CHECK(ts_tx_send(&offload, 0, len, payload, 3000, 0, 3000, 0, 0, 0, 0, 0) == -EBADF);
    CHECK(ts_tx_send(&offload, 0, len, payload, 3000, 0, 1, 0, 0, 0, 0, 0) == 1 && ts_tx_flush(&offload) == 1 &&
          offload.error == EBADF && ts_tx_flush(&offload) == 0);
    free(payload);
    free(pool);
    free(meta);
    free(rows);
}

static void plug(ts_switch *sw, uint32_t index, int fd, uint8_t *ring, uint32_t ring_len)
{
    sw->ports[index] = (ts_port){.fd = fd, .addr = 0x0a000001 + index, .ring = ring, .ring_len = ring_len};
    memcpy(sw->ports[index].mac, (uint8_t[6]){2, 0, 0, 0, 1, (uint8_t)index}, 6);
    CHECK(ts_switch_add(sw, index) == 0);
}

/* A switch between a pair of sockets, as good as a TAP, and ports. */
typedef struct {
    int tap[2], one[2];
    ts_tap device;
    ts_switch sw;
    uint8_t pool[4 * 65600], ring[65601], packet[1500];
    ts_meta meta[4];
    ts_row rows[4];
} bench;

static bench *open_bench(void)
{
    bench *b = calloc(1, sizeof *b);
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, b->tap) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, b->one) == 0);
    b->device = (ts_tap){.fd = b->tap[0], .vnet = 1, .caps = 7, .max_gso = 65000};
    memcpy(b->device.mac, OURS, 6);
    b->sw = (ts_switch){.tap = &b->device, .mtu = 1500, .flood_us = 1000, .flood_burst = 10};
    for (uint32_t i = 0; i < TS_PORTS; i++)
        b->sw.ports[i].fd = -1;
    CHECK(ts_switch_open(&b->sw) == 0);
    return b;
}

static void close_bench(bench *b)
{
    int fds[] = {b->tap[0], b->tap[1], b->one[0], b->one[1], b->sw.epoll_fd};
    for (uint32_t i = 0; i < 5; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    free(b);
}

static int32_t turn(bench *b)
{
    return ts_switch_rx(&b->sw, b->pool, sizeof b->pool, b->meta, b->rows, 4);
}

static uint32_t nth_length(uint32_t n)
{
    return 29 + (n * 37) % 1400;
}

/* The next packet for the port, if the ring certainly has room for it. */
static int send_nth(bench *b, uint32_t n)
{
    if (b->sw.ports[1].ring_len - b->sw.ports[1].ring_used < 2000)
        return 0;
    memset(b->packet + 16, (int)n, sizeof b->packet - 16);
    put32(b->packet + 24, n);
    CHECK(send(b->tap[1], b->packet, nth_length(n), 0) == (ssize_t)nth_length(n));
    CHECK(turn(b) == 0);
    return 1;
}

static int receive_nth(bench *b, uint32_t n)
{
    uint8_t got[1500];
    ssize_t len = recv(b->one[1], got, sizeof got, 0);
    if (len < 0) {
        CHECK(turn(b) == 0);
        return 0;
    }
    CHECK(len == (ssize_t)nth_length(n) && get32(got + 24) == n && got[len - 1] == (uint8_t)n);
    return 1;
}

/* A ring whose size is no multiple of anything: packets of many lengths go around its end many times. */
static void test_switch_ring(void)
{
    bench *b = open_bench();
    int small = 4608;
    uint32_t sent = 0, seen = 0;
    plug(&b->sw, 1, b->one[0], b->ring, sizeof b->ring);
    CHECK(setsockopt(b->one[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small) == 0);
    memcpy(b->packet + 10, b->sw.ports[1].mac, 6);
    for (uint32_t round = 0; round < 200; round++) {
        for (uint32_t i = 0; i < 30; i++)
            sent += (uint32_t)send_nth(b, sent);
        for (uint32_t i = 0; i < 25; i++)
            seen += (uint32_t)receive_nth(b, seen);
    }
    while (seen < sent)
        seen += (uint32_t)receive_nth(b, seen);
    CHECK(sent > 1000 && b->sw.ports[1].tx_frames == sent && b->sw.ports[1].tx_dropped == 0);
    CHECK(b->sw.backlog == 0 && b->sw.ports[1].ring_used == 0 && !b->sw.ports[1].watched);
    close_bench(b);
}

static void test_switch_ports(void)
{
    bench *b = open_bench();
    CHECK(turn(b) == 0);
    b->sw.ports[5] = (ts_port){.fd = b->one[0], .ring = b->ring, .ring_len = 100};
    CHECK(ts_switch_add(&b->sw, 5) == -EINVAL && ts_switch_add(&b->sw, TS_PORTS) == -EINVAL);
    b->sw.ports[5].fd = -1;
    plug(&b->sw, 1, b->one[0], b->ring, sizeof b->ring);
    memcpy(b->packet + 10, b->sw.ports[1].mac, 6);
    close(b->one[1]);
    b->one[1] = -1;
    CHECK(turn(b) == 0);
    CHECK(b->sw.gone == 1 && b->sw.ports[1].gone == 1);
    CHECK(send(b->tap[1], b->packet, 100, 0) == 100);
    CHECK(turn(b) == 1 && b->rows[0].kind == TS_KIND_DROP); /* of nobody's: to our own host, which drops it */
    ts_switch_remove(&b->sw, 1);
    ts_switch_remove(&b->sw, 1);
    ts_switch_remove(&b->sw, TS_PORTS);
    CHECK(b->sw.gone == 0 && b->sw.count == 0);
    close_bench(b);
}

static void test_timer(void)
{
    int fd = ts_timer_open();
    uint64_t fired;
    struct itimerspec left;
    CHECK(fd >= 0);
    CHECK(ts_timer_set(fd, 1) == 0); /* long past */
    CHECK(read(fd, &fired, 8) == 8 && fired == 1);
    CHECK(ts_timer_set(fd, 1ull << 50) == 0);
    CHECK(timerfd_gettime(fd, &left) == 0 && left.it_value.tv_sec > 1 << 20);
    CHECK(ts_timer_set(fd, 0) == 0);
    CHECK(timerfd_gettime(fd, &left) == 0 && left.it_value.tv_sec == 0 && left.it_value.tv_nsec == 0);
    close(fd);
    CHECK(ts_timer_set(fd, 1) == -EBADF);
}

int main(void)
{
    test_checksum();
    test_parse_truncated();
    test_options();
    test_segmentation();
    test_tx_refuses_nonsense();
    test_bare_io();
    test_io();
    test_error_after_frames();
    test_switch_ring();
    test_switch_ports();
    test_timer();
    puts("native core: all tests passed");
    return 0;
}

/* The TAP or TUN device and the timer: the system calls of the data path.  No state but what the caller holds. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "vnet.h"

#include "io.h"

#define DATAGRAM_HLEN (ETH_HLEN + IP_HLEN + UDP_HLEN)
#define MAX_JOINED 16 /* so many are under way while the next ones are made */

/* A bare IP packet gets the link header that a frame for us would have. */
static void put_link_header(const ts_tap *tap, uint8_t *frame, uint32_t len)
{
    memcpy(frame, tap->mac, 6);
    memset(frame + 6, 0, 6);
    put16(frame + 12, len > ETH_HLEN && frame[ETH_HLEN] >> 4 == 6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4);
}

/* What was read to `at` (virtio header, if any, and packet) becomes a meta row; `frame` is where the frame begins. */
static void note_frame(const ts_tap *tap, ts_meta *meta, const uint8_t *at, uint8_t *frame, uint32_t off, uint32_t len)
{
    vnet_hdr header = {0};
    if (tap->vnet)
        memcpy(&header, at, VNET_HLEN);
    if (tap->bare) {
        put_link_header(tap, frame, len); /* in the place of the virtio header */
        if (header.flags & TS_VNET_NEEDS_CSUM)
            header.csum_start = (uint16_t)(header.csum_start + ETH_HLEN);
    }
    *meta = (ts_meta){.off = off, .len = len, .vnet_flags = header.flags, .gso_type = header.gso_type,
                      .gso_size = header.gso_size, .csum_start = header.csum_start,
                      .csum_offset = header.csum_offset};
}

int32_t ts_rx_burst(ts_tap *tap, uint8_t *pool, uint32_t pool_len, ts_meta *meta, ts_row *rows, uint32_t max)
{
    uint32_t head = tap->vnet ? VNET_HLEN : 0, link = tap->bare ? ETH_HLEN : 0, at = 0, n = 0;
    int err = tap->failed;
    tap->failed = 0;
    tap->more = 1;
    while (err == 0 && n < max && pool_len - at >= READ_ROOM) {
        ssize_t got = read(tap->fd, pool + at + link, READ_ROOM - link);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            err = errno;
            tap->more = 0;
            break;
        }
        if (got == 0 && tap->sock)
            err = ENODEV; /* whoever served us has gone */
        if (got < (ssize_t)head)
            break;
        note_frame(tap, &meta[n], pool + at + link, pool + at + head, at + head, link + (uint32_t)got - head);
        at += (link + (uint32_t)got + ALIGN - 1) / ALIGN * ALIGN;
        n++;
    }
    /* Frames first: the error is for the next call, as a packet socket tells it once. */
    if (err == EAGAIN)
        err = 0;
    if (n == 0 && err != 0)
        return -err;
    tap->failed = err;
    ts_parse(pool, tap->mac, meta, rows, n);
    return (int32_t)(tap->gro ? ts_gro(pool, meta, rows, n) : n);
}

/* To a daemon that is at work elsewhere: a short wait is what keeps a sender from outrunning it.  One that does not
 * read at all is waited for once, and then not before it has taken something. */
static int send_frame(ts_tap *tap, struct iovec *parts, size_t count)
{
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    struct pollfd room = {.fd = tap->fd, .events = POLLOUT};
    while (sendmsg(tap->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN || tap->stalled)
            return -errno;
        int ready = poll(&room, 1, (int)tap->patience_ms);
        tap->stalled = ready == 0 || (ready < 0 && errno != EINTR);
    }
    tap->stalled = 0;
    return 0;
}

static int write_parts(ts_tap *tap, struct iovec *parts, int count)
{
    if (tap->sock)
        return send_frame(tap, parts, (size_t)count);
    while (writev(tap->fd, parts, count) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

/* How many frames went into one that is queued. */
static uint32_t frames_in(const ts_tap *tap, const uint8_t *at, uint32_t len)
{
    vnet_hdr header = {0};
    if (tap->vnet)
        memcpy(&header, at, VNET_HLEN);
    if (header.gso_type != TS_GSO_UDP_L4)
        return 1;
    return (len - VNET_HLEN - header.hdr_len + header.gso_size - 1) / header.gso_size;
}

void ts_tx_push(ts_tap *tap)
{
    uint32_t at = 0, len;
    while (at < tap->queued) {
        memcpy(&len, tap->queue + at, sizeof len);
        struct iovec whole = {tap->queue + at + sizeof len, len};
        int err = write_parts(tap, &whole, 1);
        if (err < 0) {
            tap->lost += frames_in(tap, tap->queue + at + sizeof len, len);
            tap->error = -err;
        }
        at += (uint32_t)sizeof len + (len + 3) / 4 * 4;
    }
    tap->queued = 0;
    tap->joinable = 0;
}

/* A datagram alone in a frame, which says that it is never fragmented, so that its identification has no meaning
 * (RFC 6864 section 4.1), and whose checksum the device completes. */
static int is_joinable(const ts_tap *tap, const ts_tx *tx, uint32_t how)
{
    const uint32_t can = TS_CAP_CSUM | TS_CAP_USO;
    const uint8_t *ip = tx->header + ETH_HLEN;
    return tx->header_len == DATAGRAM_HLEN && how == (1u << 16 | TS_VNET_NEEDS_CSUM) && (tap->caps & can) == can &&
           ip[9] == IPPROTO_UDP_ && ip[0] == 0x45 && get16(ip + 6) == 0x4000 && get16(ip - 2) == ETHERTYPE_IPV4 &&
           tx->csum_start == ETH_HLEN + IP_HLEN && tx->csum_offset == 6 && tx->payload_len > 0 && tap->vnet;
}

/* The two headers differ in lengths and checksums only. */
static int is_same_flow(const uint8_t *one, const uint8_t *other, uint32_t link)
{
    return memcmp(one + link, other + link, ETH_HLEN + 2 - link) == 0 && /* addresses, type, version, TOS */
           memcmp(one + 18, other + 18, 6) == 0 &&                      /* identification to protocol */
           memcmp(one + 26, other + 26, 12) == 0;                       /* addresses and ports */
}

/* A datagram becomes part of the one before it in the queue: one super-datagram (virtio_net_hdr, GSO_UDP_L4), which
 * the kernel takes apart behind what it does for each frame.  0: it has to be queued by itself. */
static int join(ts_tap *tap, const ts_tx *tx)
{
    uint32_t link = tap->bare ? ETH_HLEN : 0, len, more = tx->payload_len;
    uint8_t *at = tap->queue + tap->joinable - 1, *start = at + sizeof len, *frame = start + VNET_HLEN - link;
    vnet_hdr header;
    memcpy(&len, at, sizeof len);
    memcpy(&header, start, VNET_HLEN);
    uint32_t had = len - VNET_HLEN - (DATAGRAM_HLEN - link), size = header.gso_type ? header.gso_size : had;
    if (more > size || had + more > tap->max_gso || !is_same_flow(frame, tx->header, link) ||
        TS_TX_QUEUE - tap->queued < (more + 3) / 4 * 4)
        return 0;
    memcpy(start + len, tx->payload, more);
    header.gso_type = TS_GSO_UDP_L4;
    header.gso_size = (uint16_t)size;
    header.hdr_len = (uint16_t)(DATAGRAM_HLEN - link);
    memcpy(start, &header, VNET_HLEN);
    uint8_t *ip = frame + ETH_HLEN, *udp = ip + IP_HLEN;
    uint32_t was = get16(ip + 2);
    put16(ip + 2, was + more);
    put16(ip + 10, ts_update_checksum(get16(ip + 10), was, was + more));
    put16(udp + 4, get16(udp + 4) + more);
    put16(udp + 6, fold((uint64_t)get16(udp + 6) + more)); /* the sum of the pseudo-header, with the length in it */
    len += more;
    memcpy(at, &len, sizeof len);
    tap->queued = tap->joinable - 1 + (uint32_t)sizeof len + (len + 3) / 4 * 4;
    if (more < size)
        tap->joinable = 0; /* a shorter one is the last */
    if ((had + more) / size >= MAX_JOINED)
        ts_tx_push(tap);
    return 1;
}

/* A small frame is copied to where it waits for those that follow; whoever receives them is then woken once. */
static void enqueue(ts_tap *tap, const struct iovec *parts, int count, int joinable)
{
    uint32_t len = 0;
    for (int i = 0; i < count; i++)
        len += (uint32_t)parts[i].iov_len;
    uint32_t room = (uint32_t)sizeof len + (len + 3) / 4 * 4;
    if (TS_TX_QUEUE - tap->queued < room)
        ts_tx_push(tap);
    uint8_t *at = tap->queue + tap->queued;
    tap->joinable = joinable ? tap->queued + 1 : 0;
    memcpy(at, &len, sizeof len);
    at += sizeof len;
    for (int i = 0; i < count; i++) {
        memcpy(at, parts[i].iov_base, parts[i].iov_len);
        at += parts[i].iov_len;
    }
    tap->queued += room;
}

static int write_frame(ts_tap *tap, const ts_tx *tx, uint32_t how, uint32_t small)
{
    /* The link header that stays here may lie in the payload: a finished frame has no header of its own. */
    uint32_t link = tap->bare ? ETH_HLEN : 0, from_header = link < tx->header_len ? link : tx->header_len;
    uint32_t from_payload = link - from_header;
    if (from_payload > tx->payload_len)
        return -EINVAL;
    vnet_hdr header = vnet_of(tx, how, link);
    struct iovec parts[3] = {{&header, VNET_HLEN},
                             {tx->header + from_header, tx->header_len - from_header},
                             {(void *)(tx->payload + from_payload), tx->payload_len - from_payload}};
    int skip = tap->vnet || tap->sock ? 0 : 1;
    if (tx->header_len + tx->payload_len <= small) {
        int joinable = is_joinable(tap, tx, how);
        if (joinable && tap->joinable && join(tap, tx))
            return 0;
        enqueue(tap, parts + skip, 3 - skip, joinable);
        return 0;
    }
    ts_tx_push(tap);
    return write_parts(tap, parts + skip, 3 - skip);
}

uint32_t ts_tx_flush(ts_tap *tap)
{
    ts_tx_push(tap);
    uint32_t lost = tap->lost;
    tap->lost = 0;
    return lost;
}

int32_t ts_tx_send(ts_tap *tap, uint32_t start, uint32_t end, const uint8_t *payload, uint32_t pay_room,
                   uint32_t pay_off, uint32_t pay_len, uint32_t flags, uint32_t gso_type, uint32_t gso_size,
                   uint32_t csum_start, uint32_t csum_offset)
{
    if (start > end || end > tap->header_room || pay_off > pay_room || pay_len > pay_room - pay_off)
        return -EINVAL;
    ts_tx segment, tx = {tap->header + start, payload + pay_off, end - start, pay_len, flags, gso_type, gso_size,
                         csum_start, csum_offset};
    uint32_t how = tx_complete(&tx, tap->caps, tap->max_gso);
    uint32_t count = how >> 16;
    if (count == 0)
        return -EINVAL;
    if (count == 1) {
        int err = write_frame(tap, &tx, how, TS_TX_SMALL);
        return err < 0 ? err : 1;
    }
    uint8_t out[TS_HEADER_ROOM];
    for (uint32_t i = 0; i < count; i++) {
        tx_segment(&tx, tap->caps, i, out, &segment);
        int err = write_frame(tap, &segment, tap->caps & TS_CAP_CSUM ? TS_VNET_NEEDS_CSUM : 0, 0);
        if (err < 0)
            return err;
    }
    return (int32_t)count;
}

/* One frame of a burst, to be written from where it is; -errno. */
static int pass_frame(ts_tap *tap, uint8_t *pool, uint32_t pool_len, const ts_meta *meta, const uint8_t *link)
{
    uint8_t *frame = pool + meta->off, *ip = frame + ETH_HLEN;
    if (meta->off > pool_len || meta->len > pool_len - meta->off || meta->len < ETH_HLEN + IP_HLEN || ip[8] == 0 ||
        meta->gso_type != TS_GSO_NONE)
        return -EINVAL;
    uint32_t len = ETH_HLEN + get16(ip + 2); /* what is behind it is padding */
    memcpy(frame, link, 12);
    put16(ip + 10, ts_update_checksum(get16(ip + 10), get16(ip + 8), get16(ip + 8) - 0x0100u));
    ip[8]--;
    ts_tx tx = {.header = frame, .payload = frame, .header_len = len < meta->len ? len : meta->len,
                .csum_start = meta->csum_start, .csum_offset = meta->csum_offset,
                .flags = meta->vnet_flags & TS_VNET_NEEDS_CSUM ? TS_TX_PARTIAL : 0};
    uint32_t how = tx_complete(&tx, tap->caps, tap->max_gso);
    return how ? write_frame(tap, &tx, how, 0) : -EINVAL;
}

uint32_t ts_tx_pass(ts_tap *tap, uint8_t *pool, uint32_t pool_len, const ts_meta *meta, uint32_t count,
                    const uint8_t *link)
{
    uint32_t lost = 0;
    for (uint32_t i = 0; i < count; i++) {
        int err = pass_frame(tap, pool, pool_len, &meta[i], link);
        if (err < 0) {
            lost++;
            tap->error = -err;
        }
    }
    return lost;
}

int32_t ts_timer_open(void)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int32_t ts_timer_set(int32_t fd, uint64_t at_us)
{
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(at_us / 1000000),
                                           .tv_nsec = (long)(at_us % 1000000) * 1000}};
    return timerfd_settime(fd, TFD_TIMER_ABSTIME, &when, NULL) < 0 ? -errno : 0;
}

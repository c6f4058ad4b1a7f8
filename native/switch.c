/* The daemon as a small switch.  Theory of operation: every port has one link address and one IPv4 address, given by
 * the daemon, so there is nothing to learn.  Unicast goes to the port that has the destination, to the daemon's own host, or
 * to the TAP; group addresses go to all but the sender.  What comes from a port must be from its own addresses, or it is refused
 * and counted there; what comes from the TAP is the kernel's business.
 *
 * A packet on a port's socket is a virtio-net header and a frame, just as the TAP takes and gives them with IFF_VNET_HDR, so
 * that nothing is taken apart on the way.  What a socket has no room for waits in the port's ring; when that is full it
 * is dropped and counted: a slow reader holds nobody up. */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "vnet.h"

#include "io.h"

#define ETHERTYPE_ARP 0x0806
#define ARP_LEN 28
#define GROUP_BIT 1
#define TAP_READS 64  /* of one call, also when nothing of it is for our host */
#define PORT_READS 32 /* of one port and call: the others get their turn */

/* --- to a port ---------------------------------------------------------------------------------------------------- */

static void watch(const ts_switch *sw, ts_port *port, uint8_t room)
{
    struct epoll_event event = {.events = EPOLLIN | (room ? EPOLLOUT : 0), .data.u64 = (uint64_t)(port - sw->ports)};
    if (port->watched != room && epoll_ctl(sw->epoll_fd, EPOLL_CTL_MOD, port->fd, &event) == 0)
        port->watched = room;
}

static int send_parts(int fd, struct iovec *parts, size_t count)
{
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    while (sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        if (errno != EINTR)
            return errno;
    return 0;
}

static void ring_put(ts_port *port, const void *data, uint32_t len)
{
    uint32_t at = (uint32_t)(((uint64_t)port->ring_head + port->ring_used) % port->ring_len);
    uint32_t first = len < port->ring_len - at ? len : port->ring_len - at;
    memcpy(port->ring + at, data, first);
    memcpy(port->ring, (const uint8_t *)data + first, len - first);
    port->ring_used += len;
}

static void ring_skip(ts_port *port, uint32_t len)
{
    port->ring_head = (uint32_t)(((uint64_t)port->ring_head + len) % port->ring_len);
    port->ring_used -= len;
}

static uint32_t ring_length(const ts_port *port)
{
    uint8_t length[4];
    for (uint32_t i = 0; i < 4; i++)
        length[i] = port->ring[((uint64_t)port->ring_head + i) % port->ring_len];
    return get32(length);
}

/* What waits, as far as there is room now. */
static void drain(ts_switch *sw, ts_port *port)
{
    while (port->ring_used) {
        uint32_t len = ring_length(port);
        uint32_t at = (uint32_t)(((uint64_t)port->ring_head + 4) % port->ring_len);
        uint32_t first = len < port->ring_len - at ? len : port->ring_len - at;
        struct iovec parts[2] = {{port->ring + at, first}, {port->ring, len - first}};
        int err = send_parts(port->fd, parts, len == first ? 1 : 2);
        if (err == EAGAIN || err == ENOBUFS || err == ENOMEM) {
            watch(sw, port, 1);
            return;
        }
        if (err == 0) {
            port->tx_frames++;
            port->tx_bytes += len - VNET_HLEN;
        } else {
            port->tx_dropped++; /* it has gone, which its reader is about to see */
        }
        ring_skip(port, 4 + len);
        port->ring_frames--;
    }
    sw->backlog--;
    watch(sw, port, 0);
}

/* 0, or -EAGAIN for what was dropped. */
static int put(ts_switch *sw, ts_port *port, struct iovec *parts, size_t count, uint32_t len)
{
    if (!port->ring_used) {
        int err = send_parts(port->fd, parts, count);
        if (err == 0) {
            port->tx_frames++;
            port->tx_bytes += len - VNET_HLEN;
            return 0;
        }
        if (err != EAGAIN && err != ENOBUFS && err != ENOMEM) {
            port->tx_dropped++;
            return -EAGAIN;
        }
    }
    if (4 + len > port->ring_len - port->ring_used) {
        port->tx_dropped++;
        return -EAGAIN;
    }
    if (!port->ring_used)
        sw->backlog++;
    uint8_t length[4];
    put32(length, len);
    ring_put(port, length, 4);
    for (size_t i = 0; i < count; i++)
        ring_put(port, parts[i].iov_base, (uint32_t)parts[i].iov_len);
    port->ring_frames++;
    watch(sw, port, 1);
    return 0;
}

static int is_open(const ts_port *port)
{
    return port->fd >= 0 && !port->gone;
}

static ts_port *find(ts_switch *sw, const uint8_t *mac)
{
    for (uint32_t i = 0; i < sw->count; i++)
        if (is_open(&sw->ports[i]) && memcmp(sw->ports[i].mac, mac, 6) == 0)
            return &sw->ports[i];
    return NULL;
}

static void flood(ts_switch *sw, const ts_port *from, struct iovec *parts, size_t count, uint32_t len)
{
    for (uint32_t i = 0; i < sw->count; i++)
        if (is_open(&sw->ports[i]) && &sw->ports[i] != from)
            put(sw, &sw->ports[i], parts, count, len);
}

/* --- what a port may send ----------------------------------------------------------------------------------------- */

static uint64_t now_us(const ts_switch *sw)
{
    if (sw->now_us)
        return sw->now_us;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int may_flood(const ts_switch *sw, ts_port *port)
{
    uint64_t now = now_us(sw);
    if (port->flood_at < now)
        port->flood_at = now;
    if (port->flood_at - now > (uint64_t)sw->flood_us * (sw->flood_burst - 1))
        return 0;
    port->flood_at += sw->flood_us;
    return 1;
}

static int bad_offload(const ts_switch *sw, const vnet_hdr *header, const uint8_t *frame, uint32_t len)
{
    uint32_t gso = header->gso_type & ~(uint32_t)TS_GSO_ECN, caps = sw->tap->caps;
    if (!(header->flags & TS_VNET_NEEDS_CSUM))
        return header->gso_type != TS_GSO_NONE;
    if (!(caps & TS_CAP_CSUM) || get16(frame + 12) != ETHERTYPE_IPV4 || header->csum_start < ETH_HLEN + IP_HLEN ||
        (uint32_t)header->csum_start + header->csum_offset + 2 > len)
        return 1;
    if (gso == TS_GSO_NONE)
        return 0;
    uint32_t protocol = frame[ETH_HLEN + 9], head = ts_header_len(frame, len);
    int known = (gso == TS_GSO_TCPV4 && caps & TS_CAP_TSO4 && protocol == IPPROTO_TCP_) ||
                (gso == TS_GSO_UDP_L4 && caps & TS_CAP_USO && protocol == IPPROTO_UDP_);
    return !known || head == 0 || header->gso_size == 0 || head - ETH_HLEN + header->gso_size > sw->mtu ||
           header->hdr_len > len;
}

/* RFC 826: its own addresses are who it is; RFC 5227 §2.1.1: who only asks for its own has none yet. */
static int bad_arp(const ts_port *port, const uint8_t *arp)
{
    uint32_t sender = get32(arp + 14);
    return arp[4] != 6 || arp[5] != 4 || memcmp(arp + 8, port->mac, 6) != 0 ||
           (sender != port->addr && !(sender == 0 && get32(arp + 24) == port->addr));
}

/* Why the packet cannot pass, or -1. */
static int refusal(const ts_switch *sw, const ts_port *port, const uint8_t *packet, uint32_t len)
{
    if (len < VNET_HLEN + ETH_HLEN)
        return TS_REFUSED_MALFORMED;
    vnet_hdr header;
    memcpy(&header, packet, VNET_HLEN);
    const uint8_t *frame = packet + VNET_HLEN, *l3 = frame + ETH_HLEN;
    len -= VNET_HLEN;
    if (len > ETH_HLEN + (header.gso_type == TS_GSO_NONE ? sw->mtu : 0xffffu))
        return TS_REFUSED_TOO_LONG;
    uint32_t type = get16(frame + 12);
    if (!port->open && memcmp(frame + 6, port->mac, 6) != 0)
        return TS_REFUSED_SOURCE_MAC;
    if (type == ETHERTYPE_ARP) {
        if (len < ETH_HLEN + ARP_LEN)
            return TS_REFUSED_MALFORMED;
        if (!port->open && bad_arp(port, l3))
            return TS_REFUSED_ARP_SENDER;
    } else if (type == ETHERTYPE_IPV4) {
        uint32_t head = len > ETH_HLEN ? (uint32_t)(l3[0] & 15) * 4 : 0;
        if (head < IP_HLEN || l3[0] >> 4 != 4 || ETH_HLEN + head > len)
            return TS_REFUSED_MALFORMED;
        if (!port->open && get32(l3 + 12) != port->addr)
            return TS_REFUSED_SOURCE_ADDRESS;
    } else if (!port->open) {
        return TS_REFUSED_ETHERTYPE;
    }
    return bad_offload(sw, &header, frame, len) ? TS_REFUSED_OFFLOAD : -1;
}

/* --- frames on their way ------------------------------------------------------------------------------------------ */

static int to_tap(const ts_switch *sw, struct iovec *parts, int count)
{
    int skip = sw->tap->vnet ? 0 : 1; /* the first part is the virtio header */
    while (writev(sw->tap->fd, parts + skip, count - skip) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

/* From a port; returns whether it is (also) for our own host. */
static int pass(ts_switch *sw, ts_port *from, uint8_t *packet, uint32_t len)
{
    int why = refusal(sw, from, packet, len);
    uint8_t *frame = packet + VNET_HLEN;
    if (why < 0 && frame[0] & GROUP_BIT && !may_flood(sw, from))
        why = TS_REFUSED_BROADCAST;
    if (why >= 0) {
        from->refused[why]++;
        return 0;
    }
    packet[0] &= TS_VNET_NEEDS_CSUM; /* nobody takes its word for a checksum */
    from->rx_frames++;
    from->rx_bytes += len - VNET_HLEN;
    struct iovec parts[2] = {{packet, VNET_HLEN}, {frame, len - VNET_HLEN}};
    if (frame[0] & GROUP_BIT) {
        flood(sw, from, parts, 2, len);
        to_tap(sw, parts, 2);
        return 1;
    }
    if (memcmp(frame, sw->tap->mac, 6) == 0)
        return 1;
    ts_port *port = find(sw, frame);
    if (port == from)
        return 0; /* it is where it goes to */
    if (port)
        put(sw, port, parts, 2, len);
    else if (to_tap(sw, parts, 2) < 0)
        from->refused[TS_REFUSED_DEVICE]++;
    return 0;
}

typedef struct {
    uint8_t *pool;
    uint32_t pool_len, at, count, max;
    ts_meta *meta;
} keep;

static int has_room(const keep *kept)
{
    return kept->count < kept->max && kept->pool_len - kept->at >= READ_ROOM;
}

/* The packet of `len` bytes that was read to kept->at is for our own host. */
static void keep_it(keep *kept, uint32_t len)
{
    vnet_hdr header;
    memcpy(&header, kept->pool + kept->at, VNET_HLEN);
    kept->meta[kept->count++] = (ts_meta){.off = kept->at + VNET_HLEN, .len = len - VNET_HLEN,
                                          .vnet_flags = header.flags, .gso_type = header.gso_type,
                                          .gso_size = header.gso_size, .csum_start = header.csum_start,
                                          .csum_offset = header.csum_offset};
    kept->at += (len + ALIGN - 1) / ALIGN * ALIGN;
}

static int from_tap(ts_switch *sw, keep *kept)
{
    uint32_t head = sw->tap->vnet ? 0 : VNET_HLEN; /* what the TAP does not write */
    for (uint32_t reads = 0; reads < TAP_READS && has_room(kept); reads++) {
        uint8_t *packet = kept->pool + kept->at, *frame = packet + VNET_HLEN;
        memset(packet, 0, head);
        ssize_t got = read(sw->tap->fd, packet + head, READ_ROOM - head);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno;
        uint32_t len = head + (uint32_t)got;
        if (len < VNET_HLEN)
            return 0;
        if (len >= VNET_HLEN + ETH_HLEN) {
            struct iovec parts[1] = {{packet, len}};
            ts_port *port;
            if (frame[0] & GROUP_BIT) {
                flood(sw, NULL, parts, 1, len);
            } else if (memcmp(frame, sw->tap->mac, 6) != 0 && (port = find(sw, frame)) != NULL) {
                put(sw, port, parts, 1, len);
                continue;
            }
        }
        keep_it(kept, len);
    }
    return 0;
}

static void from_port(ts_switch *sw, ts_port *port, keep *kept)
{
    for (uint32_t reads = 0; reads < PORT_READS && has_room(kept); reads++) {
        uint8_t *packet = kept->pool + kept->at;
        ssize_t got = recv(port->fd, packet, READ_ROOM, MSG_DONTWAIT | MSG_TRUNC);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0) { /* its end; an empty packet is no frame and ends it, too */
            epoll_ctl(sw->epoll_fd, EPOLL_CTL_DEL, port->fd, NULL);
            port->gone = 1;
            sw->gone++;
            return;
        }
        if (got > READ_ROOM)
            port->refused[TS_REFUSED_TOO_LONG]++;
        else if (pass(sw, port, packet, (uint32_t)got))
            keep_it(kept, (uint32_t)got);
    }
}

/* --- calls -------------------------------------------------------------------------------------------------------- */

int32_t ts_switch_open(ts_switch *sw)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = TS_PORTS};
    int fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (epoll_ctl(fd, EPOLL_CTL_ADD, sw->tap->fd, &event) < 0) {
        int err = errno;
        close(fd);
        return -err;
    }
    sw->epoll_fd = fd;
    return 0;
}

int32_t ts_switch_add(ts_switch *sw, uint32_t index)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = index};
    if (index >= TS_PORTS || sw->ports[index].ring_len < READ_ROOM)
        return -EINVAL;
    if (epoll_ctl(sw->epoll_fd, EPOLL_CTL_ADD, sw->ports[index].fd, &event) < 0)
        return -errno;
    if (sw->count <= index)
        sw->count = index + 1;
    return 0;
}

void ts_switch_remove(ts_switch *sw, uint32_t index)
{
    if (index >= TS_PORTS || sw->ports[index].fd < 0)
        return;
    ts_port *port = &sw->ports[index];
    if (port->gone)
        sw->gone--;
    else
        epoll_ctl(sw->epoll_fd, EPOLL_CTL_DEL, port->fd, NULL);
    if (port->ring_used)
        sw->backlog--;
    memset(port, 0, sizeof *port);
    port->fd = -1;
    while (sw->count && sw->ports[sw->count - 1].fd < 0)
        sw->count--;
}

int32_t ts_switch_rx(ts_switch *sw, uint8_t *pool, uint32_t pool_len, ts_meta *meta, ts_row *rows, uint32_t max)
{
    if (sw->count == 0)
        return ts_rx_burst(sw->tap, pool, pool_len, meta, rows, max);
    keep kept = {pool, pool_len, 0, 0, max, meta};
    struct epoll_event ready[TS_PORTS + 1];
    int err = from_tap(sw, &kept);
    int count = epoll_wait(sw->epoll_fd, ready, TS_PORTS + 1, 0);
    for (int i = 0; i < count; i++) {
        uint64_t index = ready[i].data.u64;
        if (index >= TS_PORTS || !is_open(&sw->ports[index]))
            continue;
        if (ready[i].events & EPOLLOUT && sw->ports[index].ring_used)
            drain(sw, &sw->ports[index]);
        if (ready[i].events & ~(uint32_t)EPOLLOUT)
            from_port(sw, &sw->ports[index], &kept);
    }
    if (kept.count == 0 && err != 0 && err != EAGAIN)
        return -err;
    ts_parse(pool, sw->tap->mac, meta, rows, kept.count);
    return (int32_t)(sw->tap->gro ? ts_gro(pool, meta, rows, kept.count) : kept.count);
}

/* A completed frame of our own host. */
static int send_out(ts_switch *sw, const ts_tx *tx, uint32_t how)
{
    vnet_hdr header = vnet_of(tx, how, 0);
    struct iovec parts[3] = {{&header, VNET_HLEN},
                             {tx->header, tx->header_len},
                             {(void *)tx->payload, tx->payload_len}};
    uint32_t len = VNET_HLEN + tx->header_len + tx->payload_len;
    const uint8_t *frame = tx->header_len ? tx->header : tx->payload; /* a finished frame has no header of its own */
    if ((tx->header_len ? tx->header_len : tx->payload_len) < ETH_HLEN)
        return -EINVAL;
    if (frame[0] & GROUP_BIT) {
        flood(sw, NULL, parts, 3, len);
        return to_tap(sw, parts, 3);
    }
    ts_port *port = find(sw, frame);
    return port ? put(sw, port, parts, 3, len) : to_tap(sw, parts, 3);
}

int32_t ts_switch_send(ts_switch *sw, uint32_t start, uint32_t end, const uint8_t *payload, uint32_t pay_room,
                       uint32_t pay_off, uint32_t pay_len, uint32_t flags, uint32_t gso_type, uint32_t gso_size,
                       uint32_t csum_start, uint32_t csum_offset)
{
    ts_tap *tap = sw->tap;
    if (sw->count == 0)
        return ts_tx_send(tap, start, end, payload, pay_room, pay_off, pay_len, flags, gso_type, gso_size, csum_start,
                          csum_offset);
    ts_tx_push(tap); /* what was sent before the first port came */
    if (start > end || end > tap->header_room || pay_off > pay_room || pay_len > pay_room - pay_off)
        return -EINVAL;
    ts_tx segment, tx = {tap->header + start, payload + pay_off, end - start, pay_len, flags, gso_type, gso_size,
                         csum_start, csum_offset};
    uint32_t how = tx_complete(&tx, tap->caps, tap->max_gso);
    uint32_t count = how >> 16;
    if (count == 0)
        return -EINVAL;
    if (count == 1) {
        int err = send_out(sw, &tx, how);
        return err < 0 ? err : 1;
    }
    uint8_t out[TS_HEADER_ROOM];
    for (uint32_t i = 0; i < count; i++) {
        tx_segment(&tx, tap->caps, i, out, &segment);
        int err = send_out(sw, &segment, tap->caps & TS_CAP_CSUM ? TS_VNET_NEEDS_CSUM : 0);
        if (err < 0)
            return err;
    }
    return (int32_t)count;
}

/* The TAP device and the timer: everything that asks the kernel.  No state but what the caller holds. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "finish.h"
#include "io.h"

/* Debian's headers do not know these yet (linux/if_tun.h of 6.2 on). */
#define TUN_F_USO4_ 0x20
#define TUN_F_USO6_ 0x40

#define VNET_HLEN 10
/* One IP packet of 64 KiB with its link and virtio headers: the most that one read gives. */
#define READ_ROOM (65536 + 64)

typedef struct {
    uint8_t flags, gso_type;
    uint16_t hdr_len, gso_size, csum_start, csum_offset;
} vnet_hdr;
_Static_assert(sizeof(vnet_hdr) == VNET_HLEN, "virtio_net_hdr without mergeable buffers");

static int if_ioctl(int fd, const char *name, unsigned long request, struct ifreq *ifr)
{
    size_t len = strnlen(name, IFNAMSIZ);
    if (len >= IFNAMSIZ)
        return -EINVAL;
    memset(ifr->ifr_name, 0, IFNAMSIZ);
    memcpy(ifr->ifr_name, name, len);
    return ioctl(fd, request, ifr) < 0 ? -errno : 0;
}

static int if_request(const char *name, unsigned long request, struct ifreq *ifr)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int err = if_ioctl(fd, name, request, ifr);
    close(fd);
    return err;
}

int32_t ts_tap_open(char name[16], uint32_t vnet)
{
    struct ifreq ifr;
    memset(&ifr, 0, sizeof ifr);
    ifr.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | (vnet ? IFF_VNET_HDR : 0));
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int err = if_ioctl(fd, name, TUNSETIFF, &ifr);
    if (err < 0) {
        close(fd);
        return err;
    }
    memcpy(name, ifr.ifr_name, IFNAMSIZ);
    return fd;
}

int32_t ts_tap_offload(int32_t fd, uint32_t wanted)
{
    static const uint32_t offers[] = {TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_USO4_ | TUN_F_USO6_,
                                      TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6, 0};
    int size = VNET_HLEN; /* a persistent device may remember another size */
    if (ioctl(fd, TUNSETVNETHDRSZ, &size) < 0)
        return -errno;
    for (size_t i = wanted ? 0 : 2; i < 3; i++)
        if (ioctl(fd, TUNSETOFFLOAD, (unsigned long)offers[i]) == 0)
            return (int32_t)offers[i];
    return -errno;
}

int32_t ts_tap_persist(int32_t fd, uint32_t on)
{
    return ioctl(fd, TUNSETPERSIST, (unsigned long)(on != 0)) < 0 ? -errno : 0;
}

int32_t ts_if_mtu(const char *name, int32_t mtu)
{
    struct ifreq ifr = {.ifr_mtu = mtu};
    int err = if_request(name, mtu > 0 ? SIOCSIFMTU : SIOCGIFMTU, &ifr);
    return err < 0 ? err : ifr.ifr_mtu;
}

int32_t ts_if_txqueuelen(const char *name, int32_t length)
{
    struct ifreq ifr = {.ifr_qlen = length};
    int err = if_request(name, length > 0 ? SIOCSIFTXQLEN : SIOCGIFTXQLEN, &ifr);
    return err < 0 ? err : ifr.ifr_qlen;
}

int32_t ts_if_up(const char *name, uint32_t on)
{
    struct ifreq ifr;
    memset(&ifr, 0, sizeof ifr);
    int err = if_request(name, SIOCGIFFLAGS, &ifr);
    if (err < 0)
        return err;
    ifr.ifr_flags = (short)(on ? ifr.ifr_flags | IFF_UP : ifr.ifr_flags & ~IFF_UP);
    return if_request(name, SIOCSIFFLAGS, &ifr);
}

/* What was read to `frame` (behind its virtio header, if any) becomes a meta row. */
static void note_frame(ts_meta *meta, const uint8_t *frame, uint32_t off, uint32_t len, uint32_t vnet)
{
    vnet_hdr header = {0};
    if (vnet)
        memcpy(&header, frame - VNET_HLEN, VNET_HLEN);
    *meta = (ts_meta){.off = off, .len = len, .vnet_flags = header.flags, .gso_type = header.gso_type,
                      .gso_size = header.gso_size, .csum_start = header.csum_start,
                      .csum_offset = header.csum_offset};
}

int32_t ts_rx_burst(const ts_tap *tap, uint8_t *pool, uint32_t pool_len, ts_meta *meta, ts_row *rows, uint32_t max,
                    uint32_t *used)
{
    uint32_t head = tap->vnet ? VNET_HLEN : 0, at = 0, n = 0;
    int err = 0;
    while (n < max && pool_len - at >= READ_ROOM) {
        ssize_t got = read(tap->fd, pool + at, READ_ROOM);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            err = errno;
            break;
        }
        if (got < (ssize_t)head)
            break;
        note_frame(&meta[n], pool + at + head, at + head, (uint32_t)got - head, tap->vnet);
        at += ((uint32_t)got + 63) & ~63u;
        n++;
    }
    *used = at;
    /* Frames first: an error that lasts is met again by the next call. */
    if (n == 0 && err != 0 && err != EAGAIN)
        return -err;
    ts_parse(pool, tap->mac, meta, rows, n);
    return (int32_t)n;
}

static int write_frame(const ts_tap *tap, const ts_tx *tx, uint32_t how)
{
    vnet_hdr header = {.flags = (uint8_t)how, .gso_type = (uint8_t)(how >> 8)};
    if (header.flags) {
        header.csum_start = (uint16_t)tx->csum_start;
        header.csum_offset = (uint16_t)tx->csum_offset;
    }
    if (header.gso_type) {
        header.hdr_len = (uint16_t)tx->header_len;
        header.gso_size = (uint16_t)tx->gso_size;
    }
    struct iovec parts[3] = {{&header, VNET_HLEN},
                             {tx->header, tx->header_len},
                             {(void *)tx->payload, tx->payload_len}};
    int skip = tap->vnet ? 0 : 1;
    while (writev(tap->fd, parts + skip, 3 - skip) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

int32_t ts_tx_send(const ts_tap *tap, uint8_t *header, uint32_t start, uint32_t end, const uint8_t *payload,
                   uint32_t pay_off, uint32_t pay_len, uint32_t flags, uint32_t gso_type, uint32_t gso_size,
                   uint32_t csum_start, uint32_t csum_offset)
{
    ts_tx segment, tx = {header + start, payload + pay_off, end - start, pay_len, flags, gso_type, gso_size,
                         csum_start, csum_offset};
    uint32_t how = end < start ? 0 : tx_complete(&tx, tap->caps, tap->max_gso);
    uint32_t count = how >> 16;
    if (count == 0)
        return -EINVAL;
    if (count == 1) {
        int err = write_frame(tap, &tx, how);
        return err < 0 ? err : 1;
    }
    uint8_t out[TS_HEADER_ROOM];
    for (uint32_t i = 0; i < count; i++) {
        tx_segment(&tx, tap->caps, i, out, &segment);
        int err = write_frame(tap, &segment, tap->caps & TS_CAP_CSUM ? TS_VNET_NEEDS_CSUM : 0);
        if (err < 0)
            return err;
    }
    return (int32_t)count;
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

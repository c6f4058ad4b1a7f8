/* ts_switch_rx: whatever a port sends, what comes out elsewhere is from that port's own addresses and fits the link; what
 * comes from the TAP reaches whom it is for; a full ring loses whole packets and keeps their order. */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"

#define PORT_RING (READ_ROOM_ + 1000)
#define READ_ROOM_ (65536 + 64)
#define MTU 1500

static int tap[2], one[2], two[2];
static ts_tap device;
static ts_switch sw;
static uint8_t rings[2][PORT_RING], *pool, out[READ_ROOM_ + 64];
static ts_meta meta[16];
static ts_row rows[16];

static void pair(int type, int *ends)
{
    REQUIRE(socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, ends) == 0);
}

static void plug(uint32_t index, int fd)
{
    ts_port *port = &sw.ports[index];
    *port = (ts_port){.fd = fd, .addr = 0x0a000001 + index, .ring = rings[index], .ring_len = PORT_RING};
    memcpy(port->mac, (uint8_t[6]){2, 0, 0, 0, 1, (uint8_t)index}, 6);
    REQUIRE(ts_switch_add(&sw, index) == 0);
}

static void set_up(void)
{
    pair(SOCK_DGRAM, tap);
    pair(SOCK_SEQPACKET, one);
    pair(SOCK_SEQPACKET, two);
    device = (ts_tap){.fd = tap[0], .vnet = 1, .caps = 7, .max_gso = 65000};
    memcpy(device.mac, OURS, 6);
    sw = (ts_switch){.tap = &device, .mtu = MTU, .flood_us = 1, .flood_burst = 1u << 20};
    for (uint32_t i = 0; i < TS_PORTS; i++)
        sw.ports[i].fd = -1;
    REQUIRE(ts_switch_open(&sw) == 0);
    plug(0, one[0]);
    plug(1, two[0]);
    pool = malloc(4 * READ_ROOM_);
}

/* What came out at `fd`, sent by port 0. */
static uint32_t check_out(int fd)
{
    uint32_t count = 0;
    ssize_t got;
    while ((got = recv(fd, out, sizeof out, 0)) > 0) {
        const uint8_t *frame = out + 10, *l3 = frame + ETH_HLEN;
        REQUIRE(got >= 10 + ETH_HLEN + IP_HLEN && out[0] <= TS_VNET_NEEDS_CSUM);
        REQUIRE(got <= 10 + ETH_HLEN + (out[1] ? 0xffff : MTU));
        REQUIRE(memcmp(frame + 6, sw.ports[0].mac, 6) == 0);
        if (get16(frame + 12) == 0x0806) {
            REQUIRE(memcmp(l3 + 8, sw.ports[0].mac, 6) == 0);
            REQUIRE(get32(l3 + 14) == sw.ports[0].addr || (get32(l3 + 14) == 0 && get32(l3 + 24) == sw.ports[0].addr));
        } else {
            REQUIRE(get16(frame + 12) == ETHERTYPE_IPV4 && get32(l3 + 12) == sw.ports[0].addr);
        }
        count++;
    }
    return count;
}

/* Bits of `mend` make it likelier that the frame passes. */
static void mend(input *in)
{
    if (in->mend & 2 && in->frame_len >= 12)
        memcpy(in->frame + 6, sw.ports[0].mac, 6);
    if (in->mend & 4 && in->frame_len >= 34) {
        put16(in->frame + 12, ETHERTYPE_IPV4);
        put32(in->frame + 26, sw.ports[0].addr);
    }
    if (in->mend & 8 && in->frame_len >= 6)
        memcpy(in->frame, in->mend & 16 ? sw.ports[1].mac : in->mend & 32 ? OURS : (uint8_t[6]){2, 9, 9, 9, 9, 9}, 6);
}

static uint64_t refusals(void)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < TS_REFUSALS; i++)
        sum += sw.ports[0].refused[i];
    return sum;
}

static void from_port(const uint8_t *packet, uint32_t len)
{
    uint64_t before = sw.ports[0].rx_frames, refused_before = refusals();
    REQUIRE(send(one[1], packet, len, 0) == (ssize_t)len);
    int32_t count = ts_switch_rx(&sw, pool, 4 * READ_ROOM_, meta, rows, 16);
    REQUIRE(count == 0 || count == 1);
    if (count)
        check_row(&meta[0], &rows[0]);
    uint64_t passed = sw.ports[0].rx_frames - before, refused = refusals() - refused_before;
    uint32_t seen = check_out(tap[1]) + check_out(two[1]);
    REQUIRE(passed + refused == 1 || (passed == 1 && refused == 1)); /* the latter: the TAP did not take it */
    REQUIRE(passed || (!seen && !count));
    REQUIRE(recv(one[1], out, sizeof out, 0) < 0); /* nobody hears itself */
}

/* `times` times to port 1, more than its ring holds: what comes out is the packet, as often as it was not dropped. */
static void from_tap(uint8_t *packet, uint32_t len, uint32_t times)
{
    memcpy(packet + 10, sw.ports[1].mac, 6);
    uint64_t sent = 0, dropped = sw.ports[1].tx_dropped, got = 0;
    while (sent < times && send(tap[1], packet, len, 0) >= 0) {
        REQUIRE(ts_switch_rx(&sw, pool, 4 * READ_ROOM_, meta, rows, 16) == 0);
        sent++;
    }
    for (uint32_t idle = 0; idle < 2; idle++) {
        ssize_t n;
        while ((n = recv(two[1], out, sizeof out, 0)) > 0) {
            REQUIRE(n == (ssize_t)len && memcmp(out, packet, len) == 0);
            got++;
            idle = 0;
        }
        REQUIRE(ts_switch_rx(&sw, pool, 4 * READ_ROOM_, meta, rows, 16) == 0);
    }
    REQUIRE(sw.ports[1].ring_used == 0 && sw.ports[1].ring_frames == 0 && sw.backlog == 0);
    REQUIRE(got + (sw.ports[1].tx_dropped - dropped) == sent);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in;
    if (!pool)
        set_up();
    if (!read_input(&in, data, size))
        return 0;
    mend(&in);
    uint32_t len = 10 + in.frame_len;
    uint8_t *packet = malloc(len), header[10] = {in.vnet_flags, in.gso_type, (uint8_t)in.a, (uint8_t)(in.a >> 8)};
    memcpy(header + 4, &in.gso_size, 2);
    memcpy(header + 6, &in.csum_start, 2);
    memcpy(header + 8, &in.csum_offset, 2);
    memcpy(packet, header, 10);
    if (in.frame_len)
        memcpy(packet + 10, in.frame, in.frame_len);
    from_port(packet, len);
    if (in.frame_len >= ETH_HLEN)
        from_tap(packet, len, in.c & 255u);
    free(packet);
    free(in.frame);
    return 0;
}

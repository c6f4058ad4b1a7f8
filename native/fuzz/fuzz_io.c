/* ts_tx_send, ts_rx_burst and ts_tx_pass, over a pair of datagram sockets instead of a TAP. */
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"

#define POOL (4 * 65600)

static const uint8_t LINK[12] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int pair[2] = {-1, -1};
    input in;
    if (!read_input(&in, data, size))
        return 0;
    if (pair[0] < 0)
        REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair) == 0);
    uint32_t vnet = in.mend >> 1 & 1, end = ts_header_len(in.frame, in.frame_len);
    uint8_t *header = malloc(end ? end : 1), *pool = malloc(POOL);
    ts_meta meta[8];
    ts_row rows[8];
    memcpy(header, in.frame, end);
    ts_tap tap = {.fd = pair[0], .vnet = vnet, .bare = in.mend >> 6 & 1, .caps = in.caps, .max_gso = in.c,
                  .header = header, .header_room = end};
    memcpy(tap.mac, OURS, 6);
    /* raw bytes, as a kernel might write them */
    REQUIRE(send(pair[0], data, size, 0) == (ssize_t)size);
    if (in.frame_len)
        send(pair[0], in.frame, in.frame_len, 0);
    /* twice: the second may be joined to the first */
    for (uint32_t i = 0; i < 2; i++)
        ts_tx_send(&tap, in.mend & 4 ? in.a : 0, in.mend & 8 ? in.b : end, in.frame, in.frame_len,
                   in.mend & 16 ? in.a : end, (in.mend & 32 ? in.b : in.frame_len - end) / (i + 1), in.vnet_flags,
                   in.gso_type, in.gso_size, in.csum_start, in.csum_offset);
    ts_tx_flush(&tap);
    tap.fd = pair[1];
    int32_t count;
    while ((count = ts_rx_burst(&tap, pool, POOL, meta, rows, 8)) > 0) {
        for (int32_t i = 0; i < count; i++)
            check_row(&meta[i], &rows[i]);
        ts_tx_pass(&tap, pool, POOL, meta, (uint32_t)count, LINK);
        ts_tx_flush(&tap);
    }
    /* frames too short for a virtio header end a burst early */
    for (uint32_t end_of = 0; end_of < 2; end_of++)
        while (recv(pair[end_of], pool, POOL, 0) >= 0)
            ;
    free(header);
    free(pool);
    free(in.frame);
    return 0;
}

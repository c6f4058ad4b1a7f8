/* ts_gro: a burst of copies of one frame, each changed a little; nothing read or written outside, no payload lost. */
#include "fuzz.h"

#define COPIES 6

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in;
    if (!read_input(&in, data, size))
        return 0;
    uint32_t len = in.frame_len, seq_at = 38, ack_at = 42;
    uint8_t *pool = malloc((size_t)len * COPIES + 1);
    ts_meta meta[COPIES];
    ts_row rows[COPIES];
    uint64_t before = 0, after = 0;
    for (uint32_t i = 0; i < COPIES; i++) {
        uint8_t *frame = pool + i * len;
        memcpy(frame, in.frame, len);
        meta[i] = (ts_meta){.off = i * len, .len = len, .vnet_flags = TS_VNET_DATA_VALID};
        if (len < 54)
            continue;
        /* mostly what can be merged: the next sequence number, or a higher ACK */
        put32(frame + seq_at, get32(frame + seq_at) + (in.a >> i & 1 ? 0 : i * in.gso_size));
        put32(frame + ack_at, get32(frame + ack_at) + (in.b >> i & 1 ? i : 0));
        frame[47] = in.c >> i & 1 ? frame[47] : 0x10;
    }
    ts_parse(pool, OURS, meta, rows, COPIES);
    for (uint32_t i = 0; i < COPIES; i++) {
        check_row(&meta[i], &rows[i]);
        meta[i].vnet_flags = in.vnet_flags; /* as if the checksum had been verified */
        before += rows[i].pay_len;
    }
    uint32_t left = ts_gro(pool, meta, rows, COPIES);
    REQUIRE(left >= 1 && left <= COPIES);
    for (uint32_t i = 0; i < left; i++) {
        check_row(&meta[i], &rows[i]);
        after += rows[i].pay_len;
    }
    REQUIRE(before == after);
    free(pool);
    free(in.frame);
    return 0;
}

/* What the fuzz targets share: an input is 16 bytes of parameters and a frame. */
#pragma once
#include <stdlib.h>

#include "finish.h"
#include "io.h"

#define REQUIRE(condition) \
    do {                   \
        if (!(condition))  \
            abort();       \
    } while (0)

static const uint8_t OURS[6] = {2, 0, 0, 0, 0, 2};

typedef struct {
    uint8_t mend, vnet_flags, gso_type, caps;
    uint16_t gso_size, csum_start, csum_offset, a, b, c;
    uint8_t *frame; /* an allocation of exactly frame_len bytes */
    uint32_t frame_len;
} input;

static inline void put_ip_checksum(uint8_t *frame, uint32_t len)
{
    if (len < ETH_HLEN + IP_HLEN)
        return;
    uint32_t header = (uint32_t)(frame[ETH_HLEN] & 15) * 4;
    if (header < IP_HLEN || ETH_HLEN + header > len)
        return;
    put16(frame + ETH_HLEN + 10, 0);
    put16(frame + ETH_HLEN + 10, ~ts_sum(frame + ETH_HLEN, header, 0));
}

/* A fuzzer does not find checksums: input with `mend` set has its IP checksum put right. */
static inline int read_input(input *in, const uint8_t *data, size_t size)
{
    if (size < 16)
        return 0;
    memcpy(in, data, 16);
    in->frame_len = (uint32_t)size - 16;
    in->frame = malloc(in->frame_len ? in->frame_len : 1);
    if (in->frame_len)
        memcpy(in->frame, data + 16, in->frame_len);
    if (in->mend & 1)
        put_ip_checksum(in->frame, in->frame_len);
    return 1;
}

/* What holds for every row, whatever the frame. */
static inline void check_row(const ts_meta *meta, const ts_row *row)
{
    uint64_t end = (uint64_t)row->pay_off + row->pay_len;
    REQUIRE(row->kind <= TS_KIND_IP_FRAG);
    REQUIRE(meta->segs >= 1);
    if (row->kind == TS_KIND_DROP) {
        REQUIRE(row->aux != 0 && row->pay_len == 0);
        return;
    }
    REQUIRE(row->pay_off >= meta->off + ETH_HLEN && end <= (uint64_t)meta->off + meta->len);
    REQUIRE(row->kind == TS_KIND_ARP || (meta->l4_off >= ETH_HLEN + IP_HLEN && meta->off + meta->l4_off <= end));
}

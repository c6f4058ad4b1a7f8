/* The virtio-net header in front of each frame, as a TAP with IFF_VNET_HDR and the sockets of attached processes have it. */
#pragma once
#include "finish.h"

#define VNET_HLEN 10
/* One IP packet of 64 KiB with its link and virtio headers: the most that one read gives. */
#define READ_ROOM (65536 + 64)
#define ALIGN 64 /* a cache line: where each read begins in the pool */
_Static_assert(READ_ROOM % ALIGN == 0, "rounding up stays within the room of a read");

typedef struct {
    uint8_t flags, gso_type;
    uint16_t hdr_len, gso_size, csum_start, csum_offset;
} vnet_hdr;
_Static_assert(sizeof(vnet_hdr) == VNET_HLEN, "virtio_net_hdr without mergeable buffers");

/* Of a completed frame; `how` as tx_complete returns it, `link` bytes of the frame stay here. */
static inline vnet_hdr vnet_of(const ts_tx *tx, uint32_t how, uint32_t link)
{
    vnet_hdr header = {.flags = (uint8_t)how, .gso_type = (uint8_t)(how >> 8)};
    if (header.flags) {
        header.csum_start = (uint16_t)(tx->csum_start - link);
        header.csum_offset = (uint16_t)tx->csum_offset;
    }
    if (header.gso_type) {
        header.hdr_len = (uint16_t)(tx->header_len - link);
        header.gso_size = (uint16_t)tx->gso_size;
    }
    return header;
}

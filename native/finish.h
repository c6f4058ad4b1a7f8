/* A frame on its way out, as finish.c and io.c see it. */
#pragma once
#include "bytes.h"

typedef struct {
    uint8_t *header; /* the frame's first byte; header_len bytes, then the payload */
    const uint8_t *payload;
    uint32_t header_len, payload_len, flags, gso_type, gso_size, csum_start, csum_offset;
} ts_tx;

/* See ts_tx_complete in wire.h. */
uint32_t tx_complete(ts_tx *tx, uint32_t caps, uint32_t max_gso);
/* Makes the header of wire frame `index` in out[TS_HEADER_ROOM] and describes it in *segment. */
uint32_t tx_segment(const ts_tx *tx, uint32_t caps, uint32_t index, uint8_t *out, ts_tx *segment);

/* ts_parse and ts_header_len. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in;
    if (!read_input(&in, data, size))
        return 0;
    ts_meta meta = {.len = in.frame_len, .vnet_flags = in.vnet_flags, .gso_type = in.gso_type, .gso_size = in.gso_size,
                    .csum_start = in.csum_start, .csum_offset = in.csum_offset};
    ts_row row;
    ts_parse(in.frame, OURS, &meta, &row, 1);
    check_row(&meta, &row);
    uint32_t header = ts_header_len(in.frame, in.frame_len);
    REQUIRE(header <= in.frame_len);
    if (row.kind == TS_KIND_TCP)
        REQUIRE(header == row.pay_off);
    free(in.frame);
    return 0;
}

/* ts_tx_complete and ts_tx_emit: what comes out finished is a frame that the parser finds faultless. */
#include "fuzz.h"

static void check_finished(const uint8_t *frame, uint32_t len)
{
    ts_meta meta = {.len = len};
    ts_row row;
    uint8_t mac[6];
    memcpy(mac, frame, 6);
    ts_parse(frame, mac, &meta, &row, 1);
    check_row(&meta, &row);

    if (row.kind == TS_KIND_TCP || row.kind == TS_KIND_UDP)
        REQUIRE(!(row.flags & TS_ROW_BAD_CSUM));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in;
    if (!read_input(&in, data, size))
        return 0;
    uint32_t end = ts_header_len(in.frame, in.frame_len);
    if (in.mend & 2 || end == 0) /* headers that contradict themselves */
        end = in.a <= in.frame_len ? in.a : in.frame_len;
    uint32_t start = in.mend & 4 ? in.b : 0, pay_len = in.frame_len - end;
    int sound = end > 0 && end == ts_header_len(in.frame, in.frame_len) && start == 0;
    if (sound && !(in.mend & 8)) { /* what a sane caller asks for */
        uint32_t udp = in.frame[ETH_HLEN + 9] == IPPROTO_UDP_;
        in.csum_start = (uint16_t)(ETH_HLEN + (in.frame[ETH_HLEN] & 15) * 4);
        in.csum_offset = udp ? 6 : 16;
        in.gso_type = in.gso_type & 1 ? (udp ? TS_GSO_UDP_L4 : TS_GSO_TCPV4) : 0;
        in.vnet_flags = TS_TX_FILL_IP | TS_TX_NEEDS_CSUM;
        if (udp)
            put16(in.frame + in.csum_start + 4, UDP_HLEN + pay_len);
    } else {
        sound = 0;
    }
    uint8_t *header = malloc(end ? end : 1), *payload = malloc(pay_len ? pay_len : 1);
    memcpy(header, in.frame, end);
    memcpy(payload, in.frame + end, pay_len);
    uint32_t how = ts_tx_complete(header, start, end, payload, 0, pay_len, in.vnet_flags, in.gso_type, in.gso_size,
                                  in.csum_start, in.csum_offset, in.caps, in.c);
    uint32_t count = how >> 16;
    if (count == 1 && sound && !(how & 0xff)) {
        memcpy(in.frame, header, end);
        check_finished(in.frame, in.frame_len);
    }
    uint32_t sum = 0;
    for (uint32_t i = 0; count > 1 && i < count + 1; i++) {
        uint8_t *out = malloc(end + in.gso_size);
        uint32_t len = ts_tx_emit(header, start, end, payload, 0, pay_len, in.gso_type, in.gso_size, in.caps, i, out);
        REQUIRE((len > end) == (i < count));
        if (len) {
            sum += len - end;
            if (!(in.caps & TS_CAP_CSUM))
                check_finished(out, len);
        }
        free(out);
    }
    REQUIRE(count < 2 || sum == pay_len);
    free(header);
    free(payload);
    free(in.frame);
    return 0;
}

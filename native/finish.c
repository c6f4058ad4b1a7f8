/* Frames on their way out: IPv4 total length and checksums are filled in here, and a super-segment that the
 * device cannot carry is cut into wire frames, each made from scratch out of (header, payload, index).
 *
 * Numbers counted from the frame's first byte: csum_start, csum_offset.  A header that contradicts what is
 * asked for is refused (0), never written to out of its bounds. */
#include "finish.h"

#define TCP_FIN_PSH 0x09
#define TCP_CWR 0x80
#define TX_LIMIT (1u << 24) /* longer parts would overflow the sums of lengths below */

/* Offset of the transport header; 0 if this is no IPv4 header that lies within the frame's header. */
static uint32_t l4_offset(const uint8_t *frame, uint32_t header_len)
{
    if (header_len < ETH_HLEN + IP_HLEN || frame[ETH_HLEN] >> 4 != 4)
        return 0;
    uint32_t l4 = ETH_HLEN + (uint32_t)(frame[ETH_HLEN] & 15) * 4;
    return l4 >= ETH_HLEN + IP_HLEN && l4 <= header_len ? l4 : 0;
}

/* The headers are those of one TCP segment or UDP datagram, and a piece of it is a possible datagram. */
static int can_segment(const ts_tx *tx, uint32_t l4)
{
    uint32_t gso = tx->gso_type & ~(uint32_t)TS_GSO_ECN, head = tx->header_len;
    if (l4 == 0 || head > TS_HEADER_ROOM || tx->gso_size == 0 || tx->gso_size > 0xffff - head + ETH_HLEN)
        return 0;
    if (gso == TS_GSO_UDP_L4)
        return tx->header[ETH_HLEN + 9] == IPPROTO_UDP_ && head == l4 + UDP_HLEN;
    return gso == TS_GSO_TCPV4 && tx->header[ETH_HLEN + 9] == IPPROTO_TCP_ && head >= l4 + TCP_HLEN &&
           (uint32_t)(tx->header[l4 + 12] >> 4) * 4 == head - l4;
}

static void fill_ip(uint8_t *ip, uint32_t header_len, uint32_t total)
{
    put16(ip + 2, total);
    put16(ip + 10, 0);
    put16(ip + 10, ~ts_sum(ip, header_len, 0));
}

/* Sum of header[from..) and the payload behind it; an odd header shifts the payload by one byte. */
static uint32_t sum_frame(const ts_tx *tx, uint32_t from, uint32_t start)
{
    uint32_t head = tx->header_len - from;
    uint32_t sum = ts_sum(tx->header + from, head, start);
    if (head & 1)
        return fold((uint64_t)sum + __builtin_bswap16((uint16_t)ts_sum(tx->payload, tx->payload_len, 0)));
    return ts_sum(tx->payload, tx->payload_len, sum);
}

static void put_checksum(uint8_t *field, uint32_t sum, uint32_t protocol)
{
    uint32_t checksum = ~sum & 0xffff;
    /* RFC 768: zero would mean "none", so it is sent as all ones. */
    put16(field, checksum == 0 && protocol == IPPROTO_UDP_ ? 0xffff : checksum);
}

/* RFC 1071 (4), Linux virtio_net_hdr: a device that adds the rest wants the pseudo-header sum, not inverted.
 * RFC 768: a datagram has its length in its header. */
static void fill_l4(ts_tx *tx, uint32_t start, uint32_t offset, uint32_t partial)
{
    const uint8_t *ip = tx->header + ETH_HLEN;
    uint8_t *field = tx->header + start + offset;
    uint32_t length = tx->header_len - start + tx->payload_len;
    uint32_t sum = pseudo_sum(ip, length);
    if (offset == 6 && ip[9] == IPPROTO_UDP_)
        put16(field - 2, length);
    put16(field, partial ? sum : 0);
    if (!partial)
        put_checksum(field, sum_frame(tx, start, sum), ip[9]);
}

static uint32_t complete_super(ts_tx *tx, uint32_t l4, uint32_t caps, uint32_t max_gso)
{
    uint32_t gso = tx->gso_type & ~(uint32_t)TS_GSO_ECN;
    uint32_t can = gso == TS_GSO_TCPV4 ? TS_CAP_CSUM | TS_CAP_TSO4 : TS_CAP_CSUM | TS_CAP_USO;
    uint32_t total = tx->header_len - ETH_HLEN + tx->payload_len;
    if ((caps & can) != can || tx->payload_len > max_gso || total > 0xffff)
        return (tx->payload_len + tx->gso_size - 1) / tx->gso_size << 16;
    fill_ip(tx->header + ETH_HLEN, l4 - ETH_HLEN, total);
    fill_l4(tx, l4, gso == TS_GSO_TCPV4 ? 16 : 6, 1);
    /* Linux: CWR goes with the first segment only if GSO_ECN says so. */
    if (gso == TS_GSO_TCPV4 && tx->header[l4 + 13] & TCP_CWR)
        gso |= TS_GSO_ECN;
    return 1u << 16 | gso << 8 | TS_VNET_NEEDS_CSUM;
}

static uint32_t complete_single(ts_tx *tx, uint32_t l4, uint32_t caps)
{
    uint32_t field = tx->csum_start + tx->csum_offset;
    uint32_t total = tx->header_len - ETH_HLEN + tx->payload_len;
    if (tx->flags & TS_TX_FILL_IP) {
        if (l4 == 0 || total > 0xffff)
            return 0;
        fill_ip(tx->header + ETH_HLEN, l4 - ETH_HLEN, total);
    }
    if (!(tx->flags & (TS_TX_NEEDS_CSUM | TS_TX_PARTIAL)))
        return 1u << 16;
    if (tx->csum_start > 0xffff || tx->csum_offset > 0xffff || field + 2 > tx->header_len)
        return 0;
    if (tx->flags & TS_TX_PARTIAL) {
        if (caps & TS_CAP_CSUM)
            return 1u << 16 | TS_VNET_NEEDS_CSUM;
        uint32_t sum = sum_frame(tx, tx->csum_start, 0);
        put_checksum(tx->header + field, sum, l4 && l4 == tx->csum_start ? tx->header[ETH_HLEN + 9] : 0);
        return 1u << 16;
    }
    if (l4 == 0 || tx->csum_start < l4)
        return 0;
    fill_l4(tx, tx->csum_start, tx->csum_offset, caps & TS_CAP_CSUM);
    return 1u << 16 | (caps & TS_CAP_CSUM ? TS_VNET_NEEDS_CSUM : 0);
}

uint32_t tx_complete(ts_tx *tx, uint32_t caps, uint32_t max_gso)
{
    uint32_t l4 = l4_offset(tx->header, tx->header_len);
    if (tx->header_len > TX_LIMIT || tx->payload_len > TX_LIMIT)
        return 0;
    if ((tx->gso_type & ~(uint32_t)TS_GSO_ECN) == TS_GSO_NONE)
        return complete_single(tx, l4, caps);
    if (!can_segment(tx, l4) || tx->csum_start != l4 ||
        tx->csum_offset != (tx->header[ETH_HLEN + 9] == IPPROTO_TCP_ ? 16 : 6) ||
        tx->payload_len / tx->gso_size >= 0xffff)
        return 0;
    if (tx->payload_len > tx->gso_size)
        return complete_super(tx, l4, caps, max_gso);
    /* One wire frame after all: its checksum is made anew, whatever stands in the field. */
    tx->flags = TS_TX_FILL_IP | TS_TX_NEEDS_CSUM;
    return complete_single(tx, l4, caps);
}

uint32_t tx_segment(const ts_tx *tx, uint32_t caps, uint32_t index, uint8_t *out, ts_tx *segment)
{
    uint64_t offset = (uint64_t)index * tx->gso_size;
    uint32_t l4 = l4_offset(tx->header, tx->header_len);
    uint32_t gso = tx->gso_type & ~(uint32_t)TS_GSO_ECN;
    if (!can_segment(tx, l4) || offset >= tx->payload_len)
        return 0;
    uint32_t rest = tx->payload_len - (uint32_t)offset;
    memcpy(out, tx->header, tx->header_len);
    *segment = *tx;
    segment->header = out;
    segment->payload = tx->payload + offset;
    segment->payload_len = rest < tx->gso_size ? rest : tx->gso_size;
    put16(out + ETH_HLEN + 4, get16(out + ETH_HLEN + 4) + index); /* RFC 791: an identification of its own */
    fill_ip(out + ETH_HLEN, l4 - ETH_HLEN, tx->header_len - ETH_HLEN + segment->payload_len);
    if (gso == TS_GSO_TCPV4) {
        put32(out + l4 + 4, get32(out + l4 + 4) + (uint32_t)offset);
        if (rest > tx->gso_size)
            out[l4 + 13] &= (uint8_t)~TCP_FIN_PSH;
        if (index > 0)
            out[l4 + 13] &= (uint8_t)~TCP_CWR; /* RFC 3168 section 6.1.2: one CWR per reduction */
        fill_l4(segment, l4, 16, caps & TS_CAP_CSUM);
    } else {
        fill_l4(segment, l4, 6, caps & TS_CAP_CSUM);
    }
    return tx->header_len + segment->payload_len;
}

uint32_t ts_header_len(const uint8_t *frame, uint32_t len)
{
    uint32_t l4 = l4_offset(frame, len);
    if (l4 == 0 || len < l4 + UDP_HLEN || get16(frame + ETH_HLEN + 6) & 0x3fff)
        return 0;
    if (frame[ETH_HLEN + 9] == IPPROTO_UDP_)
        return l4 + UDP_HLEN;
    if (frame[ETH_HLEN + 9] != IPPROTO_TCP_ || len < l4 + TCP_HLEN)
        return 0;
    uint32_t header = (uint32_t)(frame[l4 + 12] >> 4) * 4;
    return header >= TCP_HLEN && l4 + header <= len ? l4 + header : 0;
}

uint32_t ts_tx_complete(uint8_t *header, uint32_t start, uint32_t end, const uint8_t *payload, uint32_t pay_off,
                        uint32_t pay_len, uint32_t flags, uint32_t gso_type, uint32_t gso_size,
                        uint32_t csum_start, uint32_t csum_offset, uint32_t caps, uint32_t max_gso)
{
    ts_tx tx = {header + start, payload + pay_off, end - start, pay_len, flags, gso_type, gso_size, csum_start,
                csum_offset};
    return end < start ? 0 : tx_complete(&tx, caps, max_gso);
}

uint32_t ts_tx_emit(const uint8_t *header, uint32_t start, uint32_t end, const uint8_t *payload, uint32_t pay_off,
                    uint32_t pay_len, uint32_t gso_type, uint32_t gso_size, uint32_t caps, uint32_t index,
                    uint8_t *out)
{
    ts_tx segment, tx = {(uint8_t *)header + start, payload + pay_off, end - start, pay_len, 0, gso_type, gso_size,
                         0, 0};
    if (end < start || tx_segment(&tx, caps, index, out, &segment) == 0)
        return 0;
    memcpy(out + segment.header_len, segment.payload, segment.payload_len);
    return segment.header_len + segment.payload_len;
}

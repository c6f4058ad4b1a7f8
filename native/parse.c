/* Frames to rows.  Each step checks that what it reads lies within the frame and, from IPv4 on, within the
 * datagram, so that Ethernet padding never counts; the first thing wrong decides the reason of the drop. */
#include "bytes.h"

#define ETHERTYPE_FIRST 0x0600 /* below: an 802.3 length */
#define ETHERTYPE_ARP 0x0806
#define ARP_LEN 28 /* Ethernet and IPv4 */

#define OPT_EOL 0
#define OPT_NOP 1
#define OPT_TIMESTAMPS 8
#define OPT_TIMESTAMPS_LEN 10
#define NOP_NOP_TIMESTAMPS 0x0101080a /* RFC 7323 appendix A: what nearly every segment carries */

static uint32_t drop(ts_row *row, uint32_t reason)
{
    row->kind = TS_KIND_DROP;
    row->aux = (uint16_t)reason;
    row->pay_off = row->pay_len = 0;
    return 0;
}

static void set_timestamps(ts_row *row, const uint8_t *value)
{
    row->tsval = get32(value);
    row->tsecr = get32(value + 4);
    row->flags |= TS_ROW_TS;
}

/* RFC 9293 section 3.1 (MUST-5, MUST-6, MUST-7): options of any kind, any length, any alignment. */
static void parse_tcp_options(ts_row *row, const uint8_t *opt, uint32_t len)
{
    if (len == 12 && get32(opt) == NOP_NOP_TIMESTAMPS) {
        set_timestamps(row, opt + 4);
        return;
    }
    for (uint32_t i = 0; i < len && opt[i] != OPT_EOL;) {
        if (opt[i] == OPT_NOP) {
            i++;
            continue;
        }
        uint32_t room = len - i;
        if (room < 2 || opt[i + 1] < 2 || opt[i + 1] > room) {
            row->flags |= TS_ROW_BAD_OPTS;
            return;
        }
        if (opt[i] == OPT_TIMESTAMPS && opt[i + 1] == OPT_TIMESTAMPS_LEN)
            set_timestamps(row, opt + i + 2);
        else
            row->flags |= TS_ROW_OPTS;
        i += opt[i + 1];
    }
}

/* The parsers of one protocol return the length that the checksum covers, 0 for a drop. */

static uint32_t parse_tcp(ts_row *row, const uint8_t *l4, uint32_t len)
{
    if (len < TCP_HLEN)
        return drop(row, TS_DROP_TCP_SHORT);
    uint32_t header = (uint32_t)(l4[12] >> 4) * 4;
    if (header < TCP_HLEN || header > len)
        return drop(row, TS_DROP_TCP_OFFSET);
    row->kind = TS_KIND_TCP;
    row->key |= get32(l4);
    row->seq = get32(l4 + 4);
    row->ack = get32(l4 + 8);
    row->tcp_flags = l4[13];
    row->wnd = get16(l4 + 14);
    row->aux = get16(l4 + 18);
    row->pay_off += header;
    row->pay_len = len - header;
    parse_tcp_options(row, l4 + TCP_HLEN, header - TCP_HLEN);
    return len;
}

static uint32_t parse_udp(ts_row *row, const uint8_t *l4, uint32_t len)
{
    if (len < UDP_HLEN)
        return drop(row, TS_DROP_UDP_SHORT);
    uint32_t length = get16(l4 + 4);
    if (length < UDP_HLEN || length > len)
        return drop(row, TS_DROP_UDP_LENGTH);
    row->kind = TS_KIND_UDP;
    row->key |= get32(l4);
    row->pay_off += UDP_HLEN;
    row->pay_len = length - UDP_HLEN;
    return length;
}

static uint32_t parse_icmp(ts_row *row, const uint8_t *l4, uint32_t len)
{
    if (len < 8)
        return drop(row, TS_DROP_ICMP_SHORT);
    row->kind = TS_KIND_ICMP;
    row->aux = get16(l4); /* type and code */
    return len;
}

static int checksum_wrong(const ts_row *row, const uint8_t *ip, const uint8_t *l4, uint32_t covered)
{
    if (row->kind == TS_KIND_ICMP)
        return ts_sum(l4, covered, 0) != 0xffff;
    /* RFC 768: a checksum of zero means that the sender made none. */
    if (row->kind == TS_KIND_UDP && get16(l4 + 6) == 0)
        return 0;
    return ts_sum(l4, covered, pseudo_sum(ip, covered)) != 0xffff;
}

static void parse_ip_payload(ts_meta *meta, ts_row *row, const uint8_t *ip)
{
    const uint8_t *l4 = ip + (meta->l4_off - meta->l3_off);
    uint32_t len = row->pay_len, fragment = get16(ip + 6), covered;
    if (fragment & 0x3fff) { /* offset, or more fragments */
        row->kind = TS_KIND_IP_FRAG;
        row->seq = get16(ip + 4);
        row->ack = (fragment & 0x1fff) * 8;
        row->wnd = fragment >> 13 & 1;
        row->aux = ip[9];
        return;
    }
    switch (ip[9]) {
    case IPPROTO_TCP_:
        covered = parse_tcp(row, l4, len);
        break;
    case IPPROTO_UDP_:
        covered = parse_udp(row, l4, len);
        break;
    case IPPROTO_ICMP_:
        covered = parse_icmp(row, l4, len);
        break;
    default:
        row->kind = TS_KIND_IP_OTHER;
        row->aux = ip[9];
        return;
    }
    if (covered && !(meta->vnet_flags & (TS_VNET_NEEDS_CSUM | TS_VNET_DATA_VALID)) &&
        checksum_wrong(row, ip, l4, covered))
        row->flags |= TS_ROW_BAD_CSUM;
    if (row->flags & TS_ROW_GSO && row->pay_len > meta->gso_size)
        meta->segs = (uint16_t)((row->pay_len + meta->gso_size - 1) / meta->gso_size);
}

static void parse_ipv4(ts_meta *meta, ts_row *row, const uint8_t *ip, uint32_t len)
{
    if (len < IP_HLEN) {
        drop(row, TS_DROP_IP_HEADER_LENGTH);
        return;
    }
    if (ip[0] >> 4 != 4) {
        drop(row, TS_DROP_IP_VERSION);
        return;
    }
    uint32_t header = (uint32_t)(ip[0] & 15) * 4, total = get16(ip + 2);
    if (header < IP_HLEN || header > len) {
        drop(row, TS_DROP_IP_HEADER_LENGTH);
        return;
    }
    if (total < header || total > len) {
        drop(row, TS_DROP_IP_TOTAL_LENGTH);
        return;
    }
    if (ts_sum(ip, header, 0) != 0xffff) {
        drop(row, TS_DROP_IP_CHECKSUM);
        return;
    }
    meta->l4_off = (uint16_t)(meta->l3_off + header);
    row->key = (uint64_t)get32(ip + 12) << 32;
    row->dst = get32(ip + 16);
    row->pay_off = meta->off + meta->l4_off;
    row->pay_len = total - header;
    if (header > IP_HLEN)
        row->flags |= TS_ROW_IPOPTS;
    uint32_t ecn = ip[1] & 3; /* RFC 3168 section 5 */
    if (ecn)
        row->flags |= ecn == 3 ? TS_ROW_CE : TS_ROW_ECT;
    parse_ip_payload(meta, row, ip);
}

static int vnet_impossible(const ts_meta *meta)
{
    uint32_t gso = meta->gso_type & ~(uint32_t)TS_GSO_ECN;
    if (meta->vnet_flags & TS_VNET_NEEDS_CSUM && (uint32_t)meta->csum_start + meta->csum_offset + 2 > meta->len)
        return 1;
    if (gso == TS_GSO_NONE)
        return 0;
    return meta->gso_size == 0 ||
           (gso != TS_GSO_TCPV4 && gso != TS_GSO_UDP && gso != TS_GSO_TCPV6 && gso != TS_GSO_UDP_L4);
}

static void parse_frame(const uint8_t *frame, const uint8_t *mac, ts_meta *meta, ts_row *row)
{
    memset(row, 0, sizeof *row);
    meta->l3_off = meta->l4_off = meta->reserved = 0;
    meta->segs = 1;
    if (meta->len < ETH_HLEN) {
        drop(row, TS_DROP_ETH_SHORT);
        return;
    }
    meta->l3_off = ETH_HLEN;
    if (vnet_impossible(meta)) {
        drop(row, TS_DROP_VNET_BAD);
        return;
    }
    if (meta->gso_type & ~TS_GSO_ECN)
        row->flags |= TS_ROW_GSO;
    if (meta->vnet_flags & TS_VNET_NEEDS_CSUM)
        row->flags |= TS_ROW_PARTIAL;
    if (frame[0] & 1) {
        row->flags |= TS_ROW_LINK_GROUP;
    } else if (memcmp(frame, mac, 6) != 0) {
        drop(row, TS_DROP_ETH_NOT_OURS);
        return;
    }
    if (frame[6] & 1) {
        drop(row, TS_DROP_ETH_GROUP_SOURCE);
        return;
    }
    uint32_t type = get16(frame + 12), len = meta->len - ETH_HLEN;
    if (type == ETHERTYPE_IPV4) {
        parse_ipv4(meta, row, frame + ETH_HLEN, len);
    } else if (type == ETHERTYPE_ARP) {
        if (len < ARP_LEN) {
            drop(row, TS_DROP_ARP_SHORT);
            return;
        }
        row->kind = TS_KIND_ARP;
        row->pay_off = meta->off + ETH_HLEN;
        row->pay_len = ARP_LEN;
    } else {
        drop(row, type == ETHERTYPE_IPV6     ? TS_DROP_ETH_IPV6
                  : type < ETHERTYPE_FIRST ? TS_DROP_ETH_LENGTH_FRAME
                                           : TS_DROP_ETH_UNKNOWN_TYPE);
    }
}

void ts_parse(const uint8_t *pool, const uint8_t *mac, ts_meta *meta, ts_row *rows, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        parse_frame(pool + meta[i].off, mac, &meta[i], &rows[i]);
}

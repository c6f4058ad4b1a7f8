/* Generic receive offload: what the connection would handle as ten segments in a row becomes one.  Where the device has
 * offloads, too, what came through a bridge is frames of the MTU, with checksums or without (virtio NEEDS_CSUM: whoever
 * sent it is on this machine).  Only neighbours in the burst are merged, so that a payload can move up behind the one
 * before it without running over another frame.
 *
 * Data: the merged row is a super-segment as a kernel with offloads would have given it (virtio NEEDS_CSUM,
 * gso_size), out of which finish.c makes the very same segments again.
 *
 * Pure ACKs: of a run of rising ACKs the first and the last remain.  The first may repeat an ACK of an earlier
 * burst; any later one acknowledges more than the one before it, so it is no duplicate.  (Where the network
 * has reordered ACKs, the first may be so old that a later one is: the run then still ends with an ACK that
 * advances, which makes the sender forget its duplicates.)  ACKs with SACK blocks are left alone. */
#include "bytes.h"

#define TCP_ACK 0x10
#define TCP_PSH 0x08
/* The transport header is plain and complete; its checksum is right, or left to us by who vouches for it. */
#define PLAIN_FLAGS ((uint32_t) ~(TS_ROW_TS | TS_ROW_CE | TS_ROW_ECT | TS_ROW_PARTIAL))

static int same_flow(const ts_row *a, const ts_row *b)
{
    return a->kind == TS_KIND_TCP && b->kind == TS_KIND_TCP && a->key == b->key && a->dst == b->dst;
}

static uint32_t header_size(const ts_meta *meta, const ts_row *row)
{
    return row->pay_off - meta->off;
}

static int same_ip(const uint8_t *a, const uint8_t *b)
{
    return a[1] == b[1] && a[8] == b[8] && get16(a + 6) == get16(b + 6); /* TOS, TTL, DF */
}

/* May `next` continue the data of `row`? */
static int continues(const uint8_t *pool, const ts_meta *meta, const ts_row *row, const ts_meta *next_meta,
                     const ts_row *next)
{
    if (!same_flow(row, next) || row->tcp_flags != TCP_ACK || (next->tcp_flags & ~TCP_PSH) != TCP_ACK ||
        row->flags != next->flags || row->flags & PLAIN_FLAGS || row->pay_len == 0 || next->pay_len == 0)
        return 0;
    uint32_t size = meta->segs > 1 ? meta->gso_size : row->pay_len, header = header_size(meta, row);
    return next->pay_len <= size && row->pay_len % size == 0 && next->seq == row->seq + row->pay_len &&
           row->ack == next->ack && row->wnd == next->wnd && row->tsval == next->tsval && row->tsecr == next->tsecr &&
           header == header_size(next_meta, next) && row->pay_off + row->pay_len <= next->pay_off &&
           header - ETH_HLEN + row->pay_len + next->pay_len <= 0xffff &&
           same_ip(pool + meta->off + ETH_HLEN, pool + next_meta->off + ETH_HLEN);
}

static void append(uint8_t *pool, ts_meta *meta, ts_row *row, const ts_row *next)
{
    memmove(pool + row->pay_off + row->pay_len, pool + next->pay_off, next->pay_len);
    if (meta->segs == 1)
        meta->gso_size = (uint16_t)row->pay_len;
    meta->segs++;
    row->pay_len += next->pay_len;
    row->tcp_flags |= next->tcp_flags;
}

/* Makes the headers of a row true that segments were appended to. */
static void seal(uint8_t *pool, ts_meta *meta, ts_row *row)
{
    if (meta->segs == 1 || row->pay_len == 0 || row->flags & TS_ROW_GSO)
        return;
    uint8_t *ip = pool + meta->off + ETH_HLEN, *tcp = pool + meta->off + meta->l4_off;
    uint32_t ip_header = (uint32_t)meta->l4_off - meta->l3_off;
    meta->len = header_size(meta, row) + row->pay_len;
    meta->vnet_flags = TS_VNET_NEEDS_CSUM;
    meta->gso_type = TS_GSO_TCPV4;
    meta->csum_start = meta->l4_off;
    meta->csum_offset = 16;
    row->flags |= TS_ROW_GSO | TS_ROW_PARTIAL;
    put16(ip + 2, meta->len - ETH_HLEN);
    put16(ip + 10, 0);
    put16(ip + 10, ~ts_sum(ip, ip_header, 0));
    tcp[13] = row->tcp_flags;
    put16(tcp + 16, pseudo_sum(ip, meta->len - meta->l4_off));
}

static int pure_ack(const ts_row *row)
{
    return row->tcp_flags == TCP_ACK && row->pay_len == 0 && !(row->flags & PLAIN_FLAGS);
}

static int rises(uint32_t from, uint32_t to)
{
    return (int32_t)(to - from) > 0;
}

/* Is `row`, which acknowledges more than `before` did, superseded by `next`? */
static int superseded(const ts_row *before, const ts_row *row, const ts_row *next)
{
    return same_flow(before, row) && same_flow(row, next) && pure_ack(before) && pure_ack(row) && pure_ack(next) &&
           before->flags == row->flags && row->flags == next->flags && rises(before->ack, row->ack) &&
           rises(row->ack, next->ack) && before->seq == row->seq && row->seq == next->seq;
}

uint32_t ts_gro(uint8_t *pool, ts_meta *meta, ts_row *rows, uint32_t n)
{
    uint32_t out = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (out >= 1 && continues(pool, &meta[out - 1], &rows[out - 1], &meta[i], &rows[i])) {
            append(pool, &meta[out - 1], &rows[out - 1], &rows[i]);
            continue;
        }
        if (out >= 1)
            seal(pool, &meta[out - 1], &rows[out - 1]);
        uint32_t swallowed = 0;
        if (out >= 2 && superseded(&rows[out - 2], &rows[out - 1], &rows[i]))
            swallowed = meta[--out].segs;
        rows[out] = rows[i];
        meta[out] = meta[i];
        meta[out].segs = (uint16_t)(meta[out].segs + swallowed);
        out++;
    }
    if (out >= 1)
        seal(pool, &meta[out - 1], &rows[out - 1]);
    return out;
}

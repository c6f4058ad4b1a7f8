/* The C core's one plain header: it is also the cffi cdef (build.py), so it holds no include, no guard and no
 * macro other than integer constants.  Its layouts and numbers are those of stack/wire/burst.py,
 * stack/wire/frame.py and stack/stats.py; tests/unit/wire/test_layout.py compares them.
 *
 * Every function is total: any bytes and any numbers are survived.  None allocates, none keeps state,
 * and memory is read and written by memcpy only.  Multi-byte fields in rows are in host order. */

/* kind */
#define TS_KIND_DROP 0
#define TS_KIND_ARP 1
#define TS_KIND_TCP 2
#define TS_KIND_UDP 3
#define TS_KIND_ICMP 4
#define TS_KIND_IP_OTHER 5
#define TS_KIND_IP_FRAG 6

/* ts_row.flags */
#define TS_ROW_TS 1
#define TS_ROW_OPTS 2
#define TS_ROW_IPOPTS 4
#define TS_ROW_LINK_GROUP 8
#define TS_ROW_CE 16
#define TS_ROW_ECT 32
#define TS_ROW_BAD_CSUM 64
#define TS_ROW_GSO 128
#define TS_ROW_PARTIAL 256
#define TS_ROW_BAD_OPTS 512

/* ts_row.aux of TS_KIND_DROP: stack.stats.DropReason */
#define TS_DROP_ETH_SHORT 1
#define TS_DROP_ETH_NOT_OURS 2
#define TS_DROP_ETH_GROUP_SOURCE 3
#define TS_DROP_ETH_LENGTH_FRAME 4
#define TS_DROP_ETH_UNKNOWN_TYPE 5
#define TS_DROP_ETH_IPV6 6
#define TS_DROP_VNET_BAD 7
#define TS_DROP_ARP_SHORT 8
#define TS_DROP_IP_VERSION 10
#define TS_DROP_IP_HEADER_LENGTH 11
#define TS_DROP_IP_TOTAL_LENGTH 12
#define TS_DROP_IP_CHECKSUM 13
#define TS_DROP_TCP_SHORT 16
#define TS_DROP_TCP_OFFSET 17
#define TS_DROP_UDP_SHORT 18
#define TS_DROP_UDP_LENGTH 19
#define TS_DROP_ICMP_SHORT 20

/* virtio_net_hdr (virtio 1.2, section 5.1.6) */
#define TS_VNET_NEEDS_CSUM 1
#define TS_VNET_DATA_VALID 2
#define TS_GSO_NONE 0
#define TS_GSO_TCPV4 1
#define TS_GSO_UDP 3
#define TS_GSO_TCPV6 4
#define TS_GSO_UDP_L4 5
#define TS_GSO_ECN 128

/* flags of a frame on its way out */
#define TS_TX_NEEDS_CSUM 1  /* compute the transport checksum */
#define TS_TX_FILL_IP 2     /* compute IPv4 total length and header checksum */
#define TS_TX_PARTIAL 4     /* the checksum field holds the pseudo-header sum already (virtio NEEDS_CSUM) */

/* what a device can carry */
#define TS_CAP_CSUM 1
#define TS_CAP_TSO4 2
#define TS_CAP_USO 4

#define TS_HEADER_ROOM 144  /* longest header that is taken apart: link 14, IP 60, TCP 60, rounded up */

/* A parsed frame; see stack/wire/burst.py for the meaning by kind. */
typedef struct {
    uint64_t key;
    uint32_t dst, pay_off, pay_len, seq, ack, tsval, tsecr;
    uint16_t wnd, flags;
    uint8_t kind, tcp_flags;
    uint16_t aux;
    uint32_t reserved;
} ts_row;

/* Where the frame lies in the pool, and its offload metadata. */
typedef struct {
    uint32_t off, len;
    uint16_t l3_off, l4_off;
    uint8_t vnet_flags, gso_type;
    uint16_t gso_size, csum_start, csum_offset, segs, reserved;
} ts_meta;

/* RFC 1071 sum of `data` added to `start`, folded to 16 bits, not inverted; numbers are network-order
 * values, as `int.from_bytes(field, "big")` reads them. */
uint32_t ts_sum(const uint8_t *data, size_t len, uint32_t start);
/* RFC 1624 equation 3: the checksum after a 16-bit field changed from old16 to new16. */
uint32_t ts_update_checksum(uint32_t checksum, uint32_t old16, uint32_t new16);

/* Parses frames meta[0..n) (off, len and the virtio fields are set, within the pool) into rows[0..n);
 * sets the other fields of meta. */
void ts_parse(const uint8_t *pool, const uint8_t *mac, ts_meta *meta, ts_row *rows, uint32_t n);

/* Merges rows that continue each other (gro.c); returns how many are left. */
uint32_t ts_gro(uint8_t *pool, ts_meta *meta, ts_row *rows, uint32_t n);

/* Length of link, IPv4 and transport header of a TCP or UDP frame that can be segmented, else 0. */
uint32_t ts_header_len(const uint8_t *frame, uint32_t len);

/* Completes in place the header [start, end) of `header` in front of payload[pay_off, pay_off + pay_len).
 * Returns how the frame goes to a device with `caps`: wire frames << 16 | virtio gso_type << 8 |
 * virtio flags; 0 for a frame that cannot be sent. With more than one wire frame call ts_tx_emit. */
uint32_t ts_tx_complete(uint8_t *header, uint32_t start, uint32_t end, const uint8_t *payload, uint32_t pay_off,
                        uint32_t pay_len, uint32_t flags, uint32_t gso_type, uint32_t gso_size,
                        uint32_t csum_start, uint32_t csum_offset, uint32_t caps, uint32_t max_gso);

/* Writes wire frame `index` of a super-segment to `out` (end - start + gso_size bytes); returns its length,
 * 0 if there is none.  Call after ts_tx_complete, with the same arguments. */
uint32_t ts_tx_emit(const uint8_t *header, uint32_t start, uint32_t end, const uint8_t *payload, uint32_t pay_off,
                    uint32_t pay_len, uint32_t gso_type, uint32_t gso_size, uint32_t caps, uint32_t index,
                    uint8_t *out);

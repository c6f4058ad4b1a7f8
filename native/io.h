/* System calls of the TAP device (module _io); included in the cffi cdef after wire.h.
 *
 * A function that can fail returns a negative errno.  All are called with the GIL released. */

#define TS_RX_GRO 1 /* merge in-order TCP segments of a burst (a device without offload) */

/* An open TAP: what rx and tx need to know of it. */
typedef struct {
    int32_t fd;
    uint32_t vnet;    /* each frame is preceded by a virtio-net header of 10 bytes */
    uint32_t caps;    /* TS_CAP_*, of what is written */
    uint32_t max_gso; /* most payload of one super-segment written */
    uint8_t mac[6];   /* ours */
    uint8_t reserved[2];
} ts_tap;

/* Opens /dev/net/tun and attaches to TAP `name` (created if need be; "" or "x%d": the kernel chooses), whose
 * name is stored in `name`.  Returns the descriptor, non-blocking and close-on-exec. */
int32_t ts_tap_open(char name[16], uint32_t vnet);
/* Offloads of an attached descriptor: the best of 0x67, 0x07 and 0 that the kernel takes. */
int32_t ts_tap_offload(int32_t fd, uint32_t wanted);
int32_t ts_tap_persist(int32_t fd, uint32_t on);
int32_t ts_if_mtu(const char *name, int32_t mtu);          /* mtu > 0: set; returns it */
int32_t ts_if_txqueuelen(const char *name, int32_t length); /* length > 0: set; returns it */
int32_t ts_if_up(const char *name, uint32_t on);

/* Reads until nothing is left, `max` frames are there or the next frame might not fit into the pool, then
 * parses.  Returns the number of rows; *used is set to the bytes of the pool taken. */
int32_t ts_rx_burst(const ts_tap *tap, uint8_t *pool, uint32_t pool_len, ts_meta *meta, ts_row *rows, uint32_t max,
                    uint32_t *used);

/* Completes and writes one frame; arguments as of ts_tx_complete.  Returns the wire frames that it was. */
int32_t ts_tx_send(const ts_tap *tap, uint8_t *header, uint32_t start, uint32_t end, const uint8_t *payload,
                   uint32_t pay_off, uint32_t pay_len, uint32_t flags, uint32_t gso_type, uint32_t gso_size,
                   uint32_t csum_start, uint32_t csum_offset);

int32_t ts_timer_open(void);                       /* a timerfd, non-blocking, CLOCK_MONOTONIC */
int32_t ts_timer_set(int32_t fd, uint64_t at_us);  /* fires at `at_us`, 0 disarms */

/* System calls of the TAP and TUN devices (module _io); part of the cffi cdef, after wire.h.
 *
 * Only what is called for every burst or frame is here; opening and configuring is done by ioctl from Python
 * (stack/device/tap.py).  A function that can fail returns a negative errno.  The GIL is released meanwhile. */

/* An open TAP or TUN: what does not change from call to call. */
typedef struct {
    int32_t fd;
    uint32_t vnet;        /* each frame is preceded by a virtio-net header of 10 bytes */
    uint32_t bare;        /* a TUN: IP packets pass; link headers are put on and taken off here */
    uint32_t gro;         /* merge what a burst has in order: for a device without offloads */
    uint32_t caps;        /* TS_CAP_*, of what is written */
    uint32_t max_gso;     /* most payload of one super-segment written */
    uint8_t *header;      /* where the headers of frames to be sent are */
    uint32_t header_room; /* bytes there */
    uint8_t mac[6];       /* ours */
} ts_tap;

/* Reads until nothing is left, `max` frames are there or the next one might not fit into the pool, then
 * parses and perhaps merges.  Returns the number of rows. */
int32_t ts_rx_burst(const ts_tap *tap, uint8_t *pool, uint32_t pool_len, ts_meta *meta, ts_row *rows, uint32_t max);

/* Completes and writes one frame; arguments as of ts_tx_complete, pay_room: bytes at `payload`.  Returns the
 * wire frames that it was. */
int32_t ts_tx_send(const ts_tap *tap, uint32_t start, uint32_t end, const uint8_t *payload, uint32_t pay_room,
                   uint32_t pay_off, uint32_t pay_len, uint32_t flags, uint32_t gso_type, uint32_t gso_size,
                   uint32_t csum_start, uint32_t csum_offset);

/* A timerfd on CLOCK_MONOTONIC, non-blocking; it fires at `at_us`, 0 disarms. */
int32_t ts_timer_open(void);
int32_t ts_timer_set(int32_t fd, uint64_t at_us);

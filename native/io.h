/* System calls of the TAP and TUN devices, of packet sockets, of attached devices and their switch (module _io); part of
 * the cffi cdef, after wire.h.
 *
 * Only what is called for every burst or frame is here; opening and configuring is done from Python
 * (stack/device/tap.py, packet.py).  A function that can fail returns a negative errno.  The GIL is released meanwhile. */

#define TS_TX_QUEUE 32768 /* bytes of frames that wait for ts_tx_flush */
#define TS_TX_SMALL 2048  /* a longer frame is written at once: to copy it would cost more than is saved */

/* An open TAP, TUN or packet socket: what does not change from call to call, and frames that are written together. */
typedef struct {
    int32_t fd;
    uint32_t vnet;        /* each frame is preceded by a virtio-net header of 10 bytes */
    uint32_t bare;        /* a TUN: IP packets pass; link headers are put on and taken off here */
    uint32_t gro;         /* merge what a burst has in order */
    uint32_t caps;        /* TS_CAP_*, of what is written */
    uint32_t max_gso;     /* most payload of one super-segment written */
    uint8_t *header;      /* where the headers of frames to be sent are */
    uint32_t header_room; /* bytes there */
    uint8_t mac[6];       /* ours */
    uint32_t sock;        /* a socket to a daemon, which takes frames when it gets to them */
    uint32_t patience_ms; /* how long it is waited for */
    uint32_t stalled;     /* it did not read for so long */
    uint32_t queued;      /* bytes used in `queue` */
    uint32_t lost;        /* frames of it that were not taken */
    int32_t error;        /* errno of the last one */
    uint32_t more;        /* the last burst was full */
    int32_t failed;       /* errno that the next ts_rx_burst returns */
    uint32_t joinable;    /* one past where in `queue` the last frame begins, if it is a datagram that more can join */
    uint8_t queue[TS_TX_QUEUE]; /* length (4 bytes), virtio header if any, packet; and so on, rounded up to 4 */
} ts_tap;

/* Reads until nothing is left, `max` frames are there or the next one might not fit into the pool, then
 * parses and perhaps merges.  Returns the number of rows. */
int32_t ts_rx_burst(ts_tap *tap, uint8_t *pool, uint32_t pool_len, ts_meta *meta, ts_row *rows, uint32_t max);

/* Completes one frame and queues or writes it; arguments as of ts_tx_complete, pay_room: bytes at `payload`.
 * Returns the wire frames that it was. */
int32_t ts_tx_send(ts_tap *tap, uint32_t start, uint32_t end, const uint8_t *payload, uint32_t pay_room,
                   uint32_t pay_off, uint32_t pay_len, uint32_t flags, uint32_t gso_type, uint32_t gso_size,
                   uint32_t csum_start, uint32_t csum_offset);

/* Passes on frames meta[0..count) of a burst, none of them a super-segment: `link` (12 bytes) takes the place of
 * both addresses, in the pool, and the TTL falls by one (RFC 1624 equation 3).  Returns how many were lost, the
 * errno of the last of them is in `error`. */
uint32_t ts_tx_pass(ts_tap *tap, uint8_t *pool, uint32_t pool_len, const ts_meta *meta, uint32_t count,
                    const uint8_t *link);

/* Writes what is queued; those that are not taken are counted in `lost`. */
void ts_tx_push(ts_tap *tap);
/* The same; returns `lost`, which begins anew. */
uint32_t ts_tx_flush(ts_tap *tap);

/* A timerfd on CLOCK_MONOTONIC, non-blocking; it fires at `at_us`, 0 disarms. */
int32_t ts_timer_open(void);
int32_t ts_timer_set(int32_t fd, uint64_t at_us);

/* The switch of the daemon (switch.c): the TAP, the daemon's own host, and the sockets of attached processes. */
#define TS_PORTS 64
#define TS_REFUSALS 9
/* why a frame of an attached process is refused: index into ts_port.refused */
#define TS_REFUSED_MALFORMED 0 /* no whole header */
#define TS_REFUSED_TOO_LONG 1
#define TS_REFUSED_OFFLOAD 2 /* an offload that was not agreed, or that contradicts the frame */
#define TS_REFUSED_SOURCE_MAC 3
#define TS_REFUSED_SOURCE_ADDRESS 4
#define TS_REFUSED_ARP_SENDER 5
#define TS_REFUSED_ETHERTYPE 6 /* neither IPv4 nor ARP */
#define TS_REFUSED_BROADCAST 7 /* more than it may flood */
#define TS_REFUSED_DEVICE 8    /* the TAP did not take it */

/* An attached process. */
typedef struct {
    int32_t fd;       /* its SEQPACKET socket; -1: nobody */
    uint32_t addr;    /* its IPv4 address */
    uint8_t mac[6];
    uint8_t open;     /* checks of what it sends are off: for the control of a test */
    uint8_t gone;     /* its end was seen */
    uint8_t watched;  /* the epoll waits for room, too */
    uint8_t *ring;    /* what its socket had no room for: length (4 bytes), packet, and so on around */
    uint32_t ring_len, ring_head, ring_used, ring_frames;
    uint64_t flood_at; /* microseconds: when the next broadcast would be in time */
    uint64_t rx_frames, rx_bytes, tx_frames, tx_bytes, tx_dropped;
    uint64_t refused[TS_REFUSALS];
} ts_port;

typedef struct {
    ts_tap *tap;
    int32_t epoll_fd;    /* of the TAP (data TS_PORTS) and the ports (their index) */
    uint32_t mtu;
    uint32_t count;      /* one past the last port in use */
    uint32_t gone;       /* ports whose end was seen and that are not removed yet */
    uint32_t backlog;    /* ports with a used ring */
    uint32_t flood_us;   /* between two broadcasts of one port, in the long run */
    uint32_t flood_burst; /* so many may come at once */
    uint64_t now_us;     /* 0: the clock */
    ts_port ports[TS_PORTS];
} ts_switch;

/* An epoll with the TAP in it. */
int32_t ts_switch_open(ts_switch *sw);
/* Ports[index], whose fields are set, takes part; and no more. */
int32_t ts_switch_add(ts_switch *sw, uint32_t index);
void ts_switch_remove(ts_switch *sw, uint32_t index);
/* As ts_rx_burst: what is for the daemon's own host; all else is passed on meanwhile. */
int32_t ts_switch_rx(ts_switch *sw, uint8_t *pool, uint32_t pool_len, ts_meta *meta, ts_row *rows, uint32_t max);
/* As ts_tx_send: from the daemon's own host to wherever it goes. */
int32_t ts_switch_send(ts_switch *sw, uint32_t start, uint32_t end, const uint8_t *payload, uint32_t pay_room,
                       uint32_t pay_off, uint32_t pay_len, uint32_t flags, uint32_t gso_type, uint32_t gso_size,
                       uint32_t csum_start, uint32_t csum_offset);

/* relay: a faulty wire between two TAP devices, for comparisons.
 *
 *     relay NETNS DEVICE NETNS DEVICE SEED SEED LOSS DELAY_US RATE QUEUE_BYTES SECONDS
 *     relay trace SEED LOSS DELAY_US RATE QUEUE_BYTES < "TIME_US LENGTH" lines
 *
 * Left and right: namespace and device.  A seed for each direction (left to right first), a probability of loss, the
 * delay one way, bytes per second, the bytes that the drop-tail queue holds.  "ready" goes to standard output when frames
 * pass; at SIGTERM or after SECONDS one JSON object with what each direction did, how exact its timing was and the relay's
 * own processor time.
 *
 * Each direction is a FaultModel (stack/device/fault.py) with loss, delay, rate and queue_bytes, to the nanosecond and to
 * the random number; `trace` prints the fate of frames for the test that compares the two.  It is in C because a core
 * shall have most of its time left for what is measured.  The n-th IP packet that the queue takes meets the same fate in
 * every run with the same seed; ARP passes untouched, so that it neither costs a second nor shifts that sequence.
 *
 * What costs is to sleep (20 us and more in a virtual machine), not to pass a frame.  So all that is due EARLY_NS from
 * now goes with what is due, and what the receiver answers at once is read before the next sleep.  The relay has
 * real-time priority where it may: its clock shall not wait for other programs. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { HELD = 1 << 14, ROOM = 2048, BURST = 64, WORDS = 624, ETH_TYPE = 12 };
static const int64_t NS = 1000000000;
static const int64_t EARLY_NS = 32000;        /* goes with what is due */
static const int64_t WAKE_NS = 10000;         /* part of the time that a wake-up takes: as much too early it is asked for */
static const int64_t FAREWELL_NS = 250000000; /* frames pass that long after SIGTERM: the end of a connection too */

/* MT19937 (Matsumoto and Nishimura 1998), seeded as random.Random(seed) is. */
struct twister {
    uint32_t state[WORDS];
    int at;
};

static void seed_twister(struct twister *t, uint64_t seed)
{
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, *s = t->state;
    int words = key[1] ? 2 : 1, i = 1, j = 0;

    s[0] = 19650218;
    for (int k = 1; k < WORDS; k++)
        s[k] = 1812433253u * (s[k - 1] ^ (s[k - 1] >> 30)) + (uint32_t)k;
    for (int k = 0; k < WORDS; k++) {
        s[i] = (s[i] ^ ((s[i - 1] ^ (s[i - 1] >> 30)) * 1664525u)) + key[j] + (uint32_t)j;
        if (++i == WORDS)
            s[0] = s[WORDS - 1], i = 1;
        j = (j + 1) % words;
    }
    for (int k = 0; k < WORDS - 1; k++) {
        s[i] = (s[i] ^ ((s[i - 1] ^ (s[i - 1] >> 30)) * 1566083941u)) - (uint32_t)i;
        if (++i == WORDS)
            s[0] = s[WORDS - 1], i = 1;
    }
    s[0] = 0x80000000u;
    t->at = WORDS;
}

static uint32_t next_random(struct twister *t)
{
    uint32_t *s = t->state;

    if (t->at == WORDS) {
        for (int k = 0; k < WORDS; k++) {
            uint32_t y = (s[k] & 0x80000000u) | (s[(k + 1) % WORDS] & 0x7fffffffu);
            s[k] = s[(k + 397) % WORDS] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0);
        }
        t->at = 0;
    }
    uint32_t y = s[t->at++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

/* One direction of the wire: what FaultModel keeps and counts. */
struct model {
    double loss; /* probability times 2^32 */
    int64_t delay_ns, rate, queue_bytes;
    struct twister random;
    int64_t free_at_ns, remainder; /* the frame before has left by then, and remainder / rate ns later */
    int64_t offered, lost, overflowed, queued, wait_ns, max_wait_ns, max_queue_bytes;
};

static const int64_t LOST = -1, FULL = -2;

/* When a frame that enters at `now_ns` arrives; LOST or FULL. */
static int64_t offer(struct model *m, int64_t length, int64_t now_ns)
{
    int64_t wait_ns = m->free_at_ns - now_ns;

    m->offered++;
    if (wait_ns <= 0)
        m->free_at_ns = now_ns, m->remainder = 0, wait_ns = 0;
    int64_t backlog = wait_ns * m->rate / NS;
    if (m->queue_bytes && backlog && backlog + length > m->queue_bytes) {
        m->overflowed++;
        return FULL;
    }
    m->queued++;
    m->wait_ns += wait_ns;
    if (wait_ns > m->max_wait_ns)
        m->max_wait_ns = wait_ns;
    if (backlog + length > m->max_queue_bytes)
        m->max_queue_bytes = backlog + length;
    int64_t work = length * NS + m->remainder;
    m->free_at_ns += work / m->rate;
    m->remainder = work % m->rate;
    if (m->loss > 0 && next_random(&m->random) < m->loss) {
        m->lost++;
        return LOST;
    }
    return m->free_at_ns + m->delay_ns;
}

static struct model make_model(char **argv, const char *seed)
{
    struct model m = {.loss = atof(argv[0]) * 4294967296.0, .delay_ns = atoll(argv[1]) * 1000, .rate = atoll(argv[2]),
                      .queue_bytes = atoll(argv[3])};

    if (m.rate <= 0) {
        fprintf(stderr, "relay: a rate is needed\n");
        exit(2);
    }
    seed_twister(&m.random, strtoull(seed, NULL, 10));
    return m;
}

static int trace(char **argv)
{
    struct model m = make_model(argv + 1, argv[0]);
    int64_t now_us, length;

    while (scanf("%" SCNd64 " %" SCNd64, &now_us, &length) == 2)
        printf("%" PRId64 "\n", offer(&m, length, now_us * 1000));
    printf("%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 "\n", m.lost, m.overflowed, m.queued,
           m.wait_ns, m.max_wait_ns, m.max_queue_bytes);
    return 0;
}

struct frame {
    int64_t due_ns;
    int slot, length;
};

enum { EARLIEST_US = -64, ERRORS = 4096 };

struct direction {
    int source, sink;
    struct model model;
    struct frame line[HELD]; /* a ring, in order of arrival */
    unsigned head, tail;
    uint8_t pool[HELD][ROOM];
    int unused[HELD], n_unused; /* slots of the pool; the last one freed is taken first: it is in the cache */
    int64_t delivered, delivered_bytes, refused;
    int64_t errors[ERRORS]; /* deliveries by how late they were, in us from EARLIEST_US on */
};

static struct direction directions[2];
static volatile sig_atomic_t stopped;

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * NS + t.tv_nsec;
}

static void fail(const char *what)
{
    fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int open_tap(const char *namespace, const char *device)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    char path[128];
    int back = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), inside;

    snprintf(path, sizeof path, "/run/netns/%s", namespace);
    if (back < 0 || (inside = open(path, O_RDONLY | O_CLOEXEC)) < 0 || setns(inside, CLONE_NEWNET))
        fail(path);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    strncpy(request.ifr_name, device, IFNAMSIZ - 1);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) || ioctl(fd, TUNSETOFFLOAD, 0) || setns(back, CLONE_NEWNET))
        fail(device);
    close(inside);
    close(back);
    return fd;
}

static void pass(struct direction *d, const uint8_t *frame, int length)
{
    if (write(d->sink, frame, (size_t)length) < 0)
        d->refused++; /* the device is down */
}

/* Take what waits at the source. */
static void collect(struct direction *d)
{
    for (int i = 0; i < BURST && d->n_unused; i++) {
        int slot = d->unused[d->n_unused - 1];
        ssize_t length = read(d->source, d->pool[slot], ROOM);
        if (length <= 0)
            return;
        if (d->pool[slot][ETH_TYPE] != 8 || d->pool[slot][ETH_TYPE + 1] != 0) {
            pass(d, d->pool[slot], (int)length);
            continue;
        }
        int64_t due_ns = offer(&d->model, length, now_ns());
        if (due_ns >= 0) {
            d->line[d->tail++ % HELD] = (struct frame){due_ns, slot, (int)length};
            d->n_unused--;
        }
    }
}

/* Give the sink what arrives soon. */
static void deliver(struct direction *d)
{
    while (d->head != d->tail) {
        struct frame *frame = &d->line[d->head % HELD];
        int64_t late_ns = now_ns() - frame->due_ns;
        if (late_ns < -EARLY_NS)
            return;
        int64_t late = late_ns / 1000 - EARLIEST_US;
        d->errors[late < ERRORS ? late : ERRORS - 1]++;
        d->delivered++;
        d->delivered_bytes += frame->length;
        pass(d, d->pool[frame->slot], frame->length);
        d->unused[d->n_unused++] = frame->slot;
        d->head++;
    }
}

static int64_t next_due(int64_t end)
{
    for (int i = 0; i < 2; i++) {
        struct direction *d = &directions[i];
        if (d->head != d->tail && d->line[d->head % HELD].due_ns < end)
            end = d->line[d->head % HELD].due_ns;
    }
    return end;
}

/* Pass frames until `end`, or until told to stop if `alert`. */
static void run(int64_t end, int alert, const sigset_t *asleep)
{
    struct pollfd sources[2] = {{directions[0].source, POLLIN, 0}, {directions[1].source, POLLIN, 0}};

    for (int64_t now; (now = now_ns()) < end && !(alert && stopped);) {
        for (int i = 0; i < 2; i++)
            deliver(&directions[i]);
        for (int i = 0; i < 2; i++)
            collect(&directions[i]);
        int64_t left = next_due(end) - now_ns();
        if (left <= EARLY_NS)
            continue;
        left -= WAKE_NS;
        ppoll(sources, 2, &(struct timespec){left / NS, left % NS}, asleep);
    }
}

static double cpu_seconds(void)
{
    struct rusage used;

    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/* The error that a share `p` of all deliveries, ordered by it, stays within: signed, or its absolute value. */
static int percentile_us(double p, int absolute)
{
    int64_t counts[ERRORS] = {0}, total = 0, sum = 0;

    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < ERRORS; k++) {
            int error = k + EARLIEST_US;
            counts[absolute ? abs(error) : k] += directions[i].errors[k];
            total += directions[i].errors[k];
        }
    }
    for (int k = 0; k < ERRORS; k++) {
        if ((double)(sum += counts[k]) >= p * (double)total)
            return absolute ? k : k + EARLIEST_US;
    }
    return 0;
}

static void report(double cpu, double wall, int realtime)
{
    int64_t frames = directions[0].model.offered + directions[1].model.offered;

    printf("{\"cpu_share\": %.4f, \"cpu_us_per_frame\": %.2f, \"realtime\": %s, \"late_p50_us\": %d, \"error_p99_us\": %d, "
           "\"error_p999_us\": %d, \"directions\": [",
           cpu / wall, frames ? cpu * 1e6 / (double)frames : 0, realtime ? "true" : "false", percentile_us(.5, 0),
           percentile_us(.99, 1), percentile_us(.999, 1));
    for (int i = 0; i < 2; i++) {
        struct direction *d = &directions[i];
        struct model *m = &d->model;
        printf("%s{\"offered\": %" PRId64 ", \"delivered\": %" PRId64 ", \"delivered_bytes\": %" PRId64
               ", \"lost\": %" PRId64 ", \"overflowed\": %" PRId64 ", \"queued\": %" PRId64 ", \"wait_ns\": %" PRId64
               ", \"max_wait_ns\": %" PRId64 ", \"max_queue_bytes\": %" PRId64 ", \"refused\": %" PRId64 "}",
               i ? ", " : "", m->offered, d->delivered, d->delivered_bytes, m->lost, m->overflowed, m->queued, m->wait_ns,
               m->max_wait_ns, m->max_queue_bytes, d->refused);
    }
    printf("]}\n");
    fflush(stdout);
}

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t awake, asleep;

    if (argc == 7 && !strcmp(argv[1], "trace"))
        return trace(argv + 2);
    if (argc != 12)
        return fprintf(stderr, "usage: see tools/bench/relay.c\n"), 2;
    int left = open_tap(argv[1], argv[2]), right = open_tap(argv[3], argv[4]);
    for (int i = 0; i < 2; i++) {
        struct direction *d = &directions[i];
        d->source = i ? right : left;
        d->sink = i ? left : right;
        d->model = make_model(argv + 7, argv[5 + i]);
        for (int slot = 0; slot < HELD; slot++)
            d->unused[d->n_unused++] = slot;
    }
    /* Signals come only while it sleeps, so that none is overlooked. */
    sigemptyset(&awake);
    sigaddset(&awake, SIGTERM);
    sigaddset(&awake, SIGINT);
    sigprocmask(SIG_BLOCK, &awake, &asleep);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0);
    int realtime = !sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){1});
    printf("ready\n");
    fflush(stdout);
    int64_t began = now_ns();
    double cpu = cpu_seconds();
    run(began + (int64_t)(atof(argv[11]) * 1e9), 1, &asleep);
    report(cpu_seconds() - cpu, (double)(now_ns() - began) / 1e9, realtime);
    run(now_ns() + FAREWELL_NS, 0, &asleep);
    return 0;
}

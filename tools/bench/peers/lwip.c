/* The peer lwIP: its raw (callback) API, and a netif on a TAP device.
 *
 *     lwip TAP ADDRESS NETMASK GATEWAY
 *
 * The services of tools/bench/services.py.  One thread reads frames and hands them to ethernet_input under the core
 * lock; a write of the application costs no copy where lwIP allows it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lwip/etharp.h"
#include "lwip/netif.h"
#include "lwip/tcp.h"
#include "lwip/tcpip.h"
#include "lwip/udp.h"
#include "netif/ethernet.h"

enum { FRAME = 1518, SEGMENT = 1460, AT_ONCE = 16 * SEGMENT, BURST = 64, BACKLOG = 255 };
enum { SINK = 5001, SOURCE = 5002, ECHO = 5003, HTTP = 8080 };
static const long PORTS[] = {SINK, SOURCE, ECHO, HTTP};
static const char RESPONSE[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world\n";
static const char ZEROS[AT_ONCE];

static int tap;
static struct netif interface;

static err_t transmit(struct netif *netif, struct pbuf *p)
{
    char flat[FRAME];
    const void *frame = p->payload;

    (void)netif;
    if (p->tot_len > sizeof flat)
        return ERR_BUF;
    if (p->next) {
        pbuf_copy_partial(p, flat, p->tot_len, 0);
        frame = flat;
    }
    return write(tap, frame, p->tot_len) == p->tot_len ? ERR_OK : ERR_IF;
}

static err_t set_up(struct netif *netif)
{
    static const u8_t mac[] = {2, 0, 0, 0, 0, 2};

    netif->name[0] = 't';
    netif->name[1] = 'p';
    netif->output = etharp_output;
    netif->linkoutput = transmit;
    netif->mtu = 1500;
    netif->hwaddr_len = sizeof mac;
    memcpy(netif->hwaddr, mac, sizeof mac);
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_LINK_UP;
    return ERR_OK;
}

static err_t fill(void *port, struct tcp_pcb *pcb, u16_t acknowledged)
{
    (void)port, (void)acknowledged;
    while (tcp_sndbuf(pcb) >= SEGMENT)
        if (tcp_write(pcb, ZEROS, LWIP_MIN(tcp_sndbuf(pcb), AT_ONCE), 0) != ERR_OK)
            break;
    tcp_output(pcb);
    return ERR_OK;
}

static err_t end(struct tcp_pcb *pcb)
{
    tcp_sent(pcb, NULL);
    tcp_recv(pcb, NULL);
    if (tcp_close(pcb) == ERR_OK)
        return ERR_OK;
    tcp_abort(pcb);
    return ERR_ABRT;
}

static err_t received(void *port, struct tcp_pcb *pcb, struct pbuf *p, err_t error)
{
    (void)error;
    if (!p)
        return end(pcb);
    if ((long)port == ECHO) {
        for (const struct pbuf *part = p; part; part = part->next)
            tcp_write(pcb, part->payload, part->len, TCP_WRITE_FLAG_COPY);
        tcp_output(pcb);
    } else if ((long)port == HTTP) {
        for (u16_t at = 0; (at = pbuf_memfind(p, "\r\n\r\n", 4, at)) != 0xFFFF; at += 4)
            tcp_write(pcb, RESPONSE, sizeof RESPONSE - 1, 0);
        tcp_output(pcb);
    }
    tcp_recved(pcb, p->tot_len);
    pbuf_free(p);
    return ERR_OK;
}

static err_t accepted(void *port, struct tcp_pcb *pcb, err_t error)
{
    if (error != ERR_OK || !pcb)
        return ERR_VAL;
    tcp_arg(pcb, port);
    tcp_nagle_disable(pcb);
    tcp_recv(pcb, received);
    if ((long)port == SOURCE) {
        tcp_sent(pcb, fill);
        fill(port, pcb, 0);
    }
    return ERR_OK;
}

static void echo(void *none, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *from, u16_t port)
{
    (void)none;
    udp_sendto(pcb, p, from, port);
    pbuf_free(p);
}

static void serve(void)
{
    struct udp_pcb *datagrams = udp_new();

    for (size_t i = 0; i < LWIP_ARRAYSIZE(PORTS); i++) {
        struct tcp_pcb *pcb = tcp_new();
        tcp_bind(pcb, IP4_ADDR_ANY, (u16_t)PORTS[i]);
        pcb = tcp_listen_with_backlog(pcb, BACKLOG);
        tcp_arg(pcb, (void *)PORTS[i]);
        tcp_accept(pcb, accepted);
    }
    udp_bind(datagrams, IP4_ADDR_ANY, ECHO);
    udp_recv(datagrams, echo, NULL);
}

/* What is there, under one lock. */
static void receive(void)
{
    for (int i = 0; i < BURST; i++) {
        struct pbuf *p = pbuf_alloc(PBUF_RAW, FRAME, PBUF_RAM);
        ssize_t length = p ? read(tap, p->payload, FRAME) : -1;
        if (length <= 0) {
            if (p)
                pbuf_free(p);
            return;
        }
        pbuf_realloc(p, (u16_t)length);
        if (interface.input(p, &interface) != ERR_OK)
            pbuf_free(p);
    }
}

static void started(void *semaphore)
{
    sys_sem_signal(semaphore);
}

int main(int argc, char **argv)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    ip4_addr_t address, netmask, gateway;
    sys_sem_t semaphore;

    if (argc != 5 || !ip4addr_aton(argv[2], &address) || !ip4addr_aton(argv[3], &netmask) || !ip4addr_aton(argv[4], &gateway))
        return fprintf(stderr, "usage: lwip TAP ADDRESS NETMASK GATEWAY\n"), 2;
    tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    strncpy(request.ifr_name, argv[1], IFNAMSIZ - 1);
    if (tap < 0 || ioctl(tap, TUNSETIFF, &request) < 0)
        return perror(argv[1]), 1;
    sys_sem_new(&semaphore, 0);
    tcpip_init(started, &semaphore);
    sys_sem_wait(&semaphore);
    LOCK_TCPIP_CORE();
    netif_add(&interface, &address, &netmask, &gateway, NULL, set_up, ethernet_input);
    netif_set_default(&interface);
    netif_set_up(&interface);
    serve();
    UNLOCK_TCPIP_CORE();
    for (struct pollfd readable = {tap, POLLIN, 0};;) {
        poll(&readable, 1, -1);
        LOCK_TCPIP_CORE();
        receive();
        UNLOCK_TCPIP_CORE();
    }
}

// The peer gVisor: its netstack on a TAP device with a virtio-net header, segments of up to 64 KiB and partial
// checksums both ways (its own link/fdbased asks sockets for those, and not TAP devices).
//
//	gvisor TAP ADDRESS
//
// The services of tools/bench/services.py, a goroutine for each connection.
package main

import (
	"bytes"
	"log"
	"net"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/bufferv2"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	nic     = 1
	mac     = tcpip.LinkAddress("\x02\x00\x00\x00\x00\x02")
	backlog = 4096
	chunk   = 1 << 18

	// linux/virtio_net.h
	vnetHeader         = 10
	vnetNeedsChecksum  = 1
	vnetTCPv4          = 1
	atGSOType          = 1
	atHeaderLength     = 2
	atGSOSize          = 4
	atChecksumStart    = 6
	atChecksumOffset   = 8
	tunChecksum        = 1 // linux/if_tun.h: TUN_F_CSUM, TUN_F_TSO4
	tunSegmentsTCPv4   = 2
	largestFrame       = 65550
	largestSuperPacket = 65000
)

var response = []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world\n")

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func mustTCPIP(err tcpip.Error) {
	if err != nil {
		log.Fatal(err)
	}
}

// device is the TAP device as a link of raw frames.
type device struct {
	fd         int
	dispatcher stack.NetworkDispatcher
}

func open(name string) *device {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR, 0)
	must(err)
	var request struct {
		name  [16]byte
		flags uint16
		_     [22]byte
	}
	copy(request.name[:], name)
	request.flags = unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNSETIFF, uintptr(unsafe.Pointer(&request))); e != 0 {
		log.Fatal(name, ": ", e)
	}
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNSETOFFLOAD, tunChecksum|tunSegmentsTCPv4); e != 0 {
		log.Fatal(name, ": ", e)
	}
	return &device{fd: fd}
}

func (d *device) MTU() uint32                             { return 1500 + header.EthernetMinimumSize }
func (d *device) MaxHeaderLength() uint16                 { return 0 }
func (d *device) LinkAddress() tcpip.LinkAddress          { return mac }
func (d *device) Wait()                                   {}
func (d *device) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareEther }
func (d *device) AddHeader(stack.PacketBufferPtr)         {}
func (d *device) IsAttached() bool                        { return d.dispatcher != nil }
func (d *device) GSOMaxSize() uint32                      { return largestSuperPacket }
func (d *device) SupportedGSO() stack.SupportedGSO        { return stack.HostGSOSupported }

// Capabilities: what has GSO options asks for its checksum by them; all else has a full one.
func (d *device) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityRXChecksumOffload
}

func vnet(pkt stack.PacketBufferPtr) []byte {
	h := make([]byte, vnetHeader)
	put := func(at int, v uint16) { h[at], h[at+1] = byte(v), byte(v>>8) }
	if gso := pkt.GSOOptions; gso.Type != stack.GSONone {
		put(atHeaderLength, uint16(pkt.HeaderSize()))
		if gso.NeedsCsum {
			h[0] = vnetNeedsChecksum
			put(atChecksumStart, header.EthernetMinimumSize+gso.L3HdrLen)
			put(atChecksumOffset, gso.CsumOffset)
		}
		if uint16(pkt.Data().Size()) > gso.MSS {
			h[atGSOType] = vnetTCPv4
			put(atGSOSize, gso.MSS)
		}
	}
	return h
}

func (d *device) WritePackets(packets stack.PacketBufferList) (int, tcpip.Error) {
	written := 0
	for _, pkt := range packets.AsSlice() {
		if _, err := unix.Writev(d.fd, append([][]byte{vnet(pkt)}, pkt.AsSlices()...)); err != nil {
			break
		}
		written++
	}
	return written, nil
}

func (d *device) Attach(dispatcher stack.NetworkDispatcher) {
	d.dispatcher = dispatcher
	go func() {
		buffer := make([]byte, vnetHeader+largestFrame)
		for {
			n, err := unix.Read(d.fd, buffer)
			if err == unix.EINTR {
				continue
			}
			must(err)
			if n <= vnetHeader {
				continue
			}
			view := bufferv2.NewViewWithData(buffer[vnetHeader:n])
			pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: bufferv2.MakeWithView(view)})
			dispatcher.DeliverNetworkPacket(0, pkt)
			pkt.DecRef()
		}
	}()
}

func newStack(tap string, address tcpip.Address) *stack.Stack {
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4},
	})
	sack, moderate := tcpip.TCPSACKEnabled(true), tcpip.TCPModerateReceiveBufferOption(true)
	mustTCPIP(s.SetTransportProtocolOption(tcp.ProtocolNumber, &sack))
	mustTCPIP(s.SetTransportProtocolOption(tcp.ProtocolNumber, &moderate))
	mustTCPIP(s.CreateNIC(nic, ethernet.New(open(tap))))
	own := tcpip.AddressWithPrefix{Address: address, PrefixLen: 24}
	mustTCPIP(s.AddProtocolAddress(nic, tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: own},
		stack.AddressProperties{}))
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}})
	return s
}

// listen serves a port; gonet.ListenTCP would have a backlog of 10.
func listen(s *stack.Stack, at tcpip.FullAddress, serve func(net.Conn)) {
	var queue waiter.Queue
	endpoint, err := s.NewEndpoint(tcp.ProtocolNumber, ipv4.ProtocolNumber, &queue)
	mustTCPIP(err)
	mustTCPIP(endpoint.Bind(at))
	mustTCPIP(endpoint.Listen(backlog))
	listener := gonet.NewTCPListener(s, &queue, endpoint)
	go func() {
		for {
			conn, err := listener.Accept()
			must(err)
			go func() {
				serve(conn)
				conn.Close()
			}()
		}
	}()
}

// answering hands what comes to answer until the peer closes or an answer fails.
func answering(size int, answer func(net.Conn, []byte) error) func(net.Conn) {
	return func(conn net.Conn) {
		buffer := make([]byte, size)
		for {
			n, err := conn.Read(buffer)
			if err != nil || answer(conn, buffer[:n]) != nil {
				return
			}
		}
	}
}

func sink(net.Conn, []byte) error { return nil }

func source(conn net.Conn) {
	zeros := make([]byte, chunk)
	for {
		if _, err := conn.Write(zeros); err != nil {
			return
		}
	}
}

func echo(conn net.Conn, data []byte) error {
	_, err := conn.Write(data)
	return err
}

func http(conn net.Conn, data []byte) error {
	_, err := conn.Write(bytes.Repeat(response, bytes.Count(data, []byte("\r\n\r\n"))))
	return err
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: gvisor TAP ADDRESS")
	}
	address := tcpip.Address(net.ParseIP(os.Args[2]).To4())
	s := newStack(os.Args[1], address)
	at := func(port uint16) tcpip.FullAddress { return tcpip.FullAddress{NIC: nic, Addr: address, Port: port} }
	listen(s, at(5001), answering(chunk, sink))
	listen(s, at(5002), source)
	listen(s, at(5003), answering(2048, echo))
	listen(s, at(8080), answering(4096, http))
	own := at(5003)
	datagrams, err := gonet.DialUDP(s, &own, nil, ipv4.ProtocolNumber)
	must(err)
	buffer := make([]byte, 65536)
	for {
		n, from, err := datagrams.ReadFrom(buffer)
		must(err)
		datagrams.WriteTo(buffer[:n], from)
	}
}

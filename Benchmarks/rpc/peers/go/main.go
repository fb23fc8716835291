// bench.Echo on grpc-go. Usage: go-peer PORT
package main

import (
	"context"
	"log"
	"net"
	"os"

	"bench/echo"

	"google.golang.org/grpc"
)

type server struct{ echo.UnimplementedEchoServer }

func (server) Echo(_ context.Context, message *echo.EchoMessage) (*echo.EchoMessage, error) {
	return message, nil
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	peer := grpc.NewServer(grpc.MaxConcurrentStreams(1000))
	echo.RegisterEchoServer(peer, server{})
	log.Fatal(peer.Serve(listener))
}

// nats.go against the server: nats-go --url nats://HOST:PORT.
// Started by interop/nats/run, which restarts the server when asked on standard output.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const wait = 20 * time.Second

var (
	url     string
	answers = bufio.NewReader(os.Stdin)
	failed  bool
)

// A check that fails ends with a panic of this kind, which `check` catches.
type failure string

func fail(format string, arguments ...any) { panic(failure(fmt.Sprintf(format, arguments...))) }

// must is for calls that have to succeed.
func must[T any](value T, err error) T {
	ok(err)
	return value
}

func ok(err error) {
	if err != nil {
		fail("%T: %v", err, err)
	}
}

func same(found, wanted any, what string) {
	if !reflect.DeepEqual(found, wanted) {
		left, _ := json.Marshal(found)
		right, _ := json.Marshal(wanted)
		fail("%s: %s, expected %s", what, left, right)
	}
}

// receive takes one from a channel, in time.
func receive[T any](from <-chan T, what string) T {
	select {
	case value, open := <-from:
		if !open {
			fail("closed: %s", what)
		}
		return value
	case <-time.After(wait):
		fail("not within %v: %s", wait, what)
	}
	panic("unreachable")
}

// closed waits for a channel to be closed, in time.
func closed(channel <-chan struct{}, what string) {
	select {
	case <-channel:
	case <-time.After(wait):
		fail("not within %v: %s", wait, what)
	}
}

func texts(from, to int) []string {
	var all []string
	for number := from; number < to; number++ {
		all = append(all, fmt.Sprint(number))
	}
	return all
}

func restart(how string) {
	fmt.Println("restart " + how)
	same(must(answers.ReadString('\n')), "restarted\n", "the answer of interop/nats/run")
}

func check(name string, run func(ctx context.Context, nc *nats.Conn) int, options ...nats.Option) {
	started := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 3*wait)
	defer cancel()
	seconds := func() string { return fmt.Sprintf("%.1f s", time.Since(started).Seconds()) }
	defer func() {
		switch reason := recover().(type) {
		case nil:
		case failure:
			failed = true
			fmt.Printf("FAIL nats.go %s (%s): %s\n", name, seconds(), string(reason))
		default:
			panic(reason)
		}
	}()
	nc := must(nats.Connect(url, options...))
	defer nc.Close()
	records := run(ctx, nc)
	fmt.Printf("ok   nats.go %s (%d records, %s)\n", name, records, seconds())
}

func main() {
	flag.StringVar(&url, "url", "", "nats://HOST:PORT")
	flag.Parse()
	check("core", core)
	check("streams", streams)
	check("consumers", consumers)
	check("the older JetStream API", legacy)
	check("key-value", keyValues)
	check("objects", objects)
	check("services", services)
	for _, how := range []string{"stop", "kill"} {
		reconnected := make(chan struct{}, 8)
		check("going on over a restart ("+how+")", func(ctx context.Context, nc *nats.Conn) int {
			return reconnects(ctx, nc, how, reconnected)
		}, nats.ReconnectWait(50*time.Millisecond), nats.ReconnectJitter(0, 0), nats.MaxReconnects(-1),
			nats.ReconnectHandler(func(*nats.Conn) { reconnected <- struct{}{} }))
	}
	if failed {
		os.Exit(1)
	}
}

// The consumer's last word on what it still awaits, and what it has not delivered yet.
func left(ctx context.Context, consumer interface {
	Info(context.Context) (*jetstream.ConsumerInfo, error)
}) [2]uint64 {
	info := must(consumer.Info(ctx))
	return [2]uint64{uint64(info.NumAckPending), info.NumPending}
}

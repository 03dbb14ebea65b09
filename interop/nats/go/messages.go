package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func core(ctx context.Context, nc *nats.Conn) int {
	all := must(nc.SubscribeSync("core.>"))
	ok(nc.PublishMsg(&nats.Msg{Subject: "core.a.b", Data: []byte("x"), Header: nats.Header{"Name": {"one", "two"}}}))
	message := must(all.NextMsg(wait))
	same([]any{message.Subject, string(message.Data), message.Header.Values("Name")}, []any{"core.a.b", "x", []string{"one", "two"}}, "the message")
	var counts [3]atomic.Int32
	for at := range counts {
		must(nc.QueueSubscribe("work", "q", func(*nats.Msg) { counts[at].Add(1) }))
	}
	must(nc.Subscribe("work", func(message *nats.Msg) {
		if message.Reply != "" {
			_ = message.Respond(nil)
		}
	}))
	for number := range 300 {
		ok(nc.Publish("work", []byte(fmt.Sprint(number))))
	}
	deadline := time.Now().Add(wait)
	sum := func() int32 { return counts[0].Load() + counts[1].Load() + counts[2].Load() }
	for sum() < 300 && time.Now().Before(deadline) {
		ok(nc.Flush())
		time.Sleep(time.Millisecond)
	}
	same(sum(), int32(300), "messages of the queue group")
	for at := range counts {
		if counts[at].Load() == 0 {
			fail("member %d got none", at)
		}
	}
	must(nc.Subscribe("upper", func(message *nats.Msg) { _ = message.Respond([]byte(strings.ToUpper(string(message.Data)))) }))
	same(string(must(nc.Request("upper", []byte("abc"), wait)).Data), "ABC", "the reply")
	if _, err := nc.Request("nobody.here", nil, wait); !errors.Is(err, nats.ErrNoResponders) {
		fail("a request to nobody: %v", err)
	}
	big := must(nc.SubscribeSync("big"))
	ok(nc.Publish("big", make([]byte, nc.MaxPayload())))
	same(int64(len(must(big.NextMsg(wait)).Data)), nc.MaxPayload(), "a message of max_payload")
	limited := must(nc.SubscribeSync("limited"))
	ok(limited.AutoUnsubscribe(2))
	for range 5 {
		ok(nc.Publish("limited", nil))
	}
	must(limited.NextMsg(wait))
	must(limited.NextMsg(wait))
	if _, err := limited.NextMsg(time.Second); !errors.Is(err, nats.ErrMaxMessages) && !errors.Is(err, nats.ErrBadSubscription) {
		fail("after the last message: %v", err)
	}
	must(nc.RTT())
	ok(nc.Drain())
	return 307
}

func streams(ctx context.Context, nc *nats.Conn) int {
	js := must(jetstream.New(nc))
	stream := must(js.CreateStream(ctx, jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}, AllowDirect: true, AllowMsgTTL: true}))
	for number := 1; number <= 100; number++ {
		ack := must(js.Publish(ctx, fmt.Sprintf("orders.%d", number%7), []byte(fmt.Sprint(number)), jetstream.WithMsgID(fmt.Sprint("id-", number))))
		same([]any{ack.Stream, ack.Sequence, ack.Duplicate}, []any{"ORDERS", uint64(number), false}, "the acknowledgement")
	}
	again := must(js.Publish(ctx, "orders.1", nil, jetstream.WithMsgID("id-50")))
	same([]any{again.Sequence, again.Duplicate}, []any{uint64(50), true}, "a repeated id")
	var refused *jetstream.APIError
	if _, err := js.Publish(ctx, "orders.1", nil, jetstream.WithExpectLastSequence(7)); !errors.As(err, &refused) || refused.ErrorCode != 10071 {
		fail("a wrong expected sequence: %v", err)
	}
	if _, err := js.Publish(ctx, "orders.1", nil, jetstream.WithExpectLastMsgID("other")); !errors.As(err, &refused) || refused.ErrorCode != 10070 {
		fail("a wrong expected id: %v", err)
	}
	same(string(must(stream.GetLastMsgForSubject(ctx, "orders.3")).Data), "94", "the last message of a subject")
	same(must(stream.GetMsg(ctx, 44, jetstream.WithGetMsgSubject("orders.3"))).Sequence, uint64(45), "the next message of a subject")
	ok(stream.DeleteMsg(ctx, 94))
	ok(stream.SecureDeleteMsg(ctx, 87))
	ok(stream.Purge(ctx, jetstream.WithPurgeSubject("orders.0"), jetstream.WithPurgeKeep(2)))
	state := must(stream.Info(ctx, jetstream.WithSubjectFilter(">"), jetstream.WithDeletedDetails(true))).State
	same([]uint64{state.Msgs, state.LastSeq, uint64(state.NumDeleted), uint64(len(state.Deleted)), state.Subjects["orders.0"], state.Subjects["orders.3"]},
		[]uint64{86, 100, 14, 14, 2, 12}, "the state")
	ack := must(js.Publish(ctx, "orders.ttl", nil, jetstream.WithMsgTTL(time.Second)))
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "OVERLAP", Subjects: []string{"orders.1"}}); !errors.As(err, &refused) || refused.ErrorCode != 10065 {
		fail("an overlap: %v", err)
	}
	same(must(js.StreamNameBySubject(ctx, "orders.9")), "ORDERS", "the stream of a subject")

	// Asynchronous, many in flight.
	must(js.CreateStream(ctx, jetstream.StreamConfig{Name: "MANY", Subjects: []string{"many.*"}, MaxMsgsPerSubject: 100}))
	var futures []jetstream.PubAckFuture
	for number := range 2000 {
		futures = append(futures, must(js.PublishAsync(fmt.Sprintf("many.%d", number%10), make([]byte, 100))))
	}
	closed(js.PublishAsyncComplete(), "all acknowledgements")
	for at, future := range futures {
		select {
		case ack := <-future.Ok():
			same(ack.Sequence, uint64(at+1), "an asynchronous acknowledgement")
		case err := <-future.Err():
			fail("message %d: %v", at, err)
		}
	}
	same(must(must(js.Stream(ctx, "MANY")).Info(ctx)).State.Msgs, uint64(1000), "messages under a limit per subject")
	var names []string
	for name := range js.StreamNames(ctx).Name() {
		names = append(names, name)
	}
	same(names, []string{"MANY", "ORDERS"}, "the streams")

	deadline := time.Now().Add(wait)
	for {
		_, err := stream.GetMsg(ctx, ack.Sequence)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		ok(err)
		if time.Now().After(deadline) {
			fail("a message outlives its time")
		}
		time.Sleep(20 * time.Millisecond)
	}
	return 2101
}

func consumers(ctx context.Context, nc *nats.Conn) int {
	js := must(jetstream.New(nc))
	stream := must(js.CreateStream(ctx, jetstream.StreamConfig{Name: "JOBS", Subjects: []string{"jobs.*"}, Retention: jetstream.WorkQueuePolicy}))
	for number := range 200 {
		must(js.Publish(ctx, fmt.Sprintf("jobs.%d", number%2), []byte(fmt.Sprint(number))))
	}
	worker := must(stream.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "worker", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 100, MaxDeliver: 5}))
	// untilAgain confirms jobs until the first of all comes again.
	untilAgain := func() uint64 {
		for {
			message := must(worker.Next(jetstream.FetchMaxWait(wait)))
			metadata := must(message.Metadata())
			if metadata.Sequence.Stream == 1 {
				ok(message.NakWithDelay(300 * time.Millisecond))
				return metadata.NumDelivered
			}
			ok(message.InProgress())
			ok(message.DoubleAck(ctx))
		}
	}
	ok(must(worker.Next()).Nak())
	same(untilAgain(), uint64(2), "deliveries of the refused job")
	refusedAt := time.Now()
	few := must(worker.FetchBytes(1000))
	bytes := 0
	for message := range few.Messages() {
		bytes += len(message.Data())
		ok(message.DoubleAck(ctx))
	}
	if bytes == 0 || bytes > 1000 {
		fail("%d bytes in a fetch of 1000", bytes)
	}
	for message := range must(worker.Fetch(20, jetstream.FetchMaxWait(wait))).Messages() {
		ok(message.DoubleAck(ctx))
	}
	same(untilAgain(), uint64(3), "deliveries of the job that was refused for a while")
	if early := time.Since(refusedAt); early < 290*time.Millisecond {
		fail("a job refused for 300 ms came again after %v", early)
	}
	for number := 200; number < 300; number++ {
		must(js.Publish(ctx, "jobs.3", []byte(fmt.Sprint(number))))
	}
	done := make(chan string, 300)
	consuming := must(worker.Consume(func(message jetstream.Msg) {
		_ = message.Ack()
		done <- string(message.Data())
	}, jetstream.PullMaxMessages(13)))
	missing := map[string]bool{"0": true, "299": true}
	for len(missing) > 0 {
		delete(missing, receive(done, "the last jobs"))
	}
	consuming.Drain()
	closed(consuming.Closed(), "the end of consuming")
	ok(nc.Flush())
	same(left(ctx, worker), [2]uint64{}, "what is left for the consumer")
	same(must(stream.Info(ctx)).State.Msgs, uint64(0), "what is left of the queue")
	none := must(worker.FetchNoWait(1))
	for range none.Messages() {
		fail("a job where there is none")
	}

	ordered := must(js.OrderedConsumer(ctx, "MANY", jetstream.OrderedConsumerConfig{FilterSubjects: []string{"many.1", "many.2"}}))
	messages := must(ordered.Messages())
	var last uint64
	for range 200 {
		message := must(messages.Next())
		sequence := must(message.Metadata()).Sequence.Stream
		if sequence <= last {
			fail("sequence %d after %d", sequence, last)
		}
		last = sequence
	}
	messages.Stop()
	pushed := must(js.CreatePushConsumer(ctx, "MANY", jetstream.ConsumerConfig{Durable: "pushed", DeliverSubject: nats.NewInbox(), AckPolicy: jetstream.AckAllPolicy,
		FlowControl: true, IdleHeartbeat: time.Second}))
	arrived := make(chan jetstream.Msg, 1000)
	pushing := must(pushed.Consume(func(message jetstream.Msg) { arrived <- message }))
	for number := 1; number <= 1000; number++ {
		message := receive(arrived, "a pushed message")
		if number == 1000 || number%100 == 0 {
			ok(message.DoubleAck(ctx))
		}
	}
	pushing.Stop()
	same(left(ctx, pushed), [2]uint64{}, "what was pushed and not acknowledged")
	latest := must(js.CreateConsumer(ctx, "MANY", jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, FilterSubject: "many.*", HeadersOnly: true}))
	lasts := must(latest.Fetch(20, jetstream.FetchMaxWait(300*time.Millisecond)))
	count := 0
	for message := range lasts.Messages() {
		same([]string{string(message.Data()), message.Headers().Get("Nats-Msg-Size")}, []string{"", "100"}, "a message by its headers only")
		count++
	}
	same(count, 10, "the last of each subject")
	ok(js.DeleteConsumer(ctx, "MANY", "pushed"))
	if _, err := js.PushConsumer(ctx, "MANY", "pushed"); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		fail("a deleted consumer: %v", err)
	}
	return 200 + 200 + 1000 + count
}

// The API that most Go programs still use.
func legacy(_ context.Context, nc *nats.Conn) int {
	js := must(nc.JetStream())
	must(js.AddStream(&nats.StreamConfig{Name: "LEGACY", Subjects: []string{"legacy.*"}}))
	for number := range 100 {
		must(js.Publish("legacy.m", []byte(fmt.Sprint(number)), nats.MsgId(fmt.Sprint(number))))
	}
	pushed := must(js.SubscribeSync("legacy.*", nats.Durable("pushed"), nats.ManualAck()))
	for range 100 {
		ok(must(pushed.NextMsg(wait)).AckSync())
	}
	queue := must(js.QueueSubscribeSync("legacy.*", "group"))
	for range 100 {
		ok(must(queue.NextMsg(wait)).Ack())
	}
	pull := must(js.PullSubscribe("legacy.*", "pulled"))
	for taken := 0; taken < 100; {
		for _, message := range must(pull.Fetch(30, nats.MaxWait(wait))) {
			ok(message.Ack())
			if taken++; taken == 100 {
				break
			}
		}
		if taken == 90 {
			for _, message := range must(pull.Fetch(10, nats.MaxWait(wait))) {
				ok(message.Ack())
				taken++
			}
		}
	}
	ordered := must(js.SubscribeSync("legacy.*", nats.OrderedConsumer()))
	for number := range 100 {
		same(string(must(ordered.NextMsg(wait)).Data), fmt.Sprint(number), "a message in order")
	}
	return 400
}

// One connection, its subscriptions and its consumers, over a restart of the server.
func reconnects(ctx context.Context, nc *nats.Conn, how string, reconnected <-chan struct{}) int {
	js := must(jetstream.New(nc))
	stream := must(js.CreateStream(ctx, jetstream.StreamConfig{Name: "OVER_" + how, Subjects: []string{"over." + how + ".*"}}))
	subject := "over." + how + ".m"
	worker := must(stream.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "worker", AckPolicy: jetstream.AckExplicitPolicy}))
	alive := must(nc.SubscribeSync("alive." + how))
	bucket := must(js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "over_" + how}))
	watcher := must(bucket.WatchAll(ctx))
	same(receive(watcher.Updates(), "the end of no values") == nil, true, "nothing in the bucket")
	jobs := make(chan string, 1000)
	consuming := must(worker.Consume(func(message jetstream.Msg) {
		if err := message.DoubleAck(ctx); err != nil {
			jobs <- err.Error()
		} else {
			jobs <- string(message.Data())
		}
	}, jetstream.PullExpiry(2*time.Second), jetstream.PullHeartbeat(500*time.Millisecond)))
	defer consuming.Stop()
	seen := make(chan string, 1000)
	ordered := must(must(js.OrderedConsumer(ctx, "OVER_"+how, jetstream.OrderedConsumerConfig{})).Consume(
		func(message jetstream.Msg) { seen <- string(message.Data()) },
		jetstream.PullExpiry(2*time.Second), jetstream.PullHeartbeat(500*time.Millisecond)))
	defer ordered.Stop()

	for number := range 50 {
		must(js.Publish(ctx, subject, []byte(fmt.Sprint(number)), jetstream.WithMsgID(fmt.Sprint(number))))
	}
	for number := range 50 {
		same(receive(jobs, "a job"), fmt.Sprint(number), "a job before the restart")
	}
	restart(how)
	receive(reconnected, "the reconnect")
	ok(nc.Publish("alive."+how, []byte("yes")))
	same(string(must(alive.NextMsg(wait)).Data), "yes", "the subscription after the restart")
	again := must(js.Publish(ctx, subject, nil, jetstream.WithMsgID("3")))
	same([]any{again.Sequence, again.Duplicate}, []any{uint64(4), true}, "an id from before the restart")
	for number := 50; number < 100; number++ {
		must(js.Publish(ctx, subject, []byte(fmt.Sprint(number))))
	}
	for number := 50; number < 100; number++ {
		same(receive(jobs, "a job after the restart"), fmt.Sprint(number), "a job after the restart")
	}
	var inOrder []string
	for range 100 {
		inOrder = append(inOrder, receive(seen, "a message in order"))
	}
	same(inOrder, texts(0, 100), "messages in order")
	must(bucket.PutString(ctx, "after", "1"))
	same(receive(watcher.Updates(), "the change after the restart").Key(), "after", "what the watcher saw")
	same(left(ctx, worker), [2]uint64{}, "what is left for the consumer")
	return 250
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
)

func keyValues(ctx context.Context, nc *nats.Conn) int {
	js := must(jetstream.New(nc))
	bucket := must(js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "settings", History: 5, LimitMarkerTTL: 2 * time.Second}))
	must(bucket.PutString(ctx, "color", "red"))
	revision := must(bucket.PutString(ctx, "color", "blue"))
	same(string(must(bucket.Get(ctx, "color")).Value()), "blue", "the newest value")
	same(string(must(bucket.GetRevision(ctx, "color", 1)).Value()), "red", "the value of a revision")
	must(bucket.Update(ctx, "color", []byte("green"), revision))
	if _, err := bucket.Update(ctx, "color", []byte("x"), revision); !errors.Is(err, jetstream.ErrKeyExists) && err == nil {
		fail("an update on top of an old revision was accepted")
	}
	if _, err := bucket.Create(ctx, "color", []byte("x")); !errors.Is(err, jetstream.ErrKeyExists) {
		fail("the creation of a key that exists: %v", err)
	}
	var history []string
	for _, entry := range must(bucket.History(ctx, "color")) {
		history = append(history, string(entry.Value()))
	}
	same(history, []string{"red", "blue", "green"}, "the history")

	watcher := must(bucket.Watch(ctx, "color"))
	same(string(receive(watcher.Updates(), "the value now").Value()), "green", "the value now")
	if end := receive(watcher.Updates(), "the end of the values"); end != nil {
		fail("more than one value of one key: %v", end)
	}
	must(bucket.PutString(ctx, "color", "pink"))
	same(string(receive(watcher.Updates(), "the change").Value()), "pink", "the change")
	ok(bucket.Delete(ctx, "color"))
	same(receive(watcher.Updates(), "the delete").Operation(), jetstream.KeyValueDelete, "the delete")
	ok(watcher.Stop())
	resumed := must(bucket.WatchAll(ctx, jetstream.ResumeFromRevision(2), jetstream.IncludeHistory()))
	for _, wanted := range []uint64{2, 3, 4, 5} {
		same(receive(resumed.Updates(), "an older change").Revision(), wanted, "an older change's revision")
	}
	ok(resumed.Stop())
	if _, err := bucket.Get(ctx, "color"); !errors.Is(err, jetstream.ErrKeyNotFound) {
		fail("a deleted key: %v", err)
	}
	must(bucket.Create(ctx, "color", []byte("white")))
	for number := range 20 {
		must(bucket.PutString(ctx, fmt.Sprintf("size.%d", number), "1"))
	}
	same(len(must(bucket.Keys(ctx))), 21, "keys")
	filtered := must(bucket.ListKeysFiltered(ctx, "size.*"))
	count := 0
	for range filtered.Keys() {
		count++
	}
	same(count, 20, "keys by filter")
	ok(bucket.Purge(ctx, "size.3"))
	same(must(bucket.History(ctx, "size.3"))[0].Operation(), jetstream.KeyValuePurge, "after a purge")
	must(bucket.Create(ctx, "gone", []byte("soon"), jetstream.KeyTTL(time.Second)))
	expiring := must(bucket.Watch(ctx, "gone", jetstream.UpdatesOnly()))
	same(receive(expiring.Updates(), "the end of a key with a time to live").Operation(), jetstream.KeyValuePurge, "the marker")
	ok(bucket.PurgeDeletes(ctx, jetstream.DeleteMarkersOlderThan(-1)))
	status := must(bucket.Status(ctx))
	same([]any{status.Bucket(), status.History()}, []any{"settings", int64(5)}, "the status")
	return 30
}

func objects(ctx context.Context, nc *nats.Conn) int {
	js := must(jetstream.New(nc))
	store := must(js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: "files"}))
	content := make([]byte, 3<<20)
	for at := range content {
		content[at] = byte(at * 31)
	}
	watcher := must(store.Watch(ctx, jetstream.UpdatesOnly()))
	info := must(store.Put(ctx, jetstream.ObjectMeta{Name: "large", Description: "three megabytes"}, bytes.NewReader(content)))
	same([]uint64{info.Size, uint64(info.Chunks)}, []uint64{3 << 20, 24}, "the object as stored")
	same(receive(watcher.Updates(), "the watched object").Name, "large", "the watched object")
	same(bytes.Equal(must(store.GetBytes(ctx, "large")), content), true, "the object")
	must(store.PutString(ctx, "large", "replaced"))
	same(must(store.GetString(ctx, "large")), "replaced", "the object after it was replaced")
	same(must(must(js.Stream(ctx, "OBJ_files")).Info(ctx)).State.Msgs, uint64(2), "messages after it was replaced")
	must(store.AddLink(ctx, "alias", must(store.GetInfo(ctx, "large"))))
	same(must(store.GetString(ctx, "alias")), "replaced", "the object behind a link")
	ok(store.UpdateMeta(ctx, "large", jetstream.ObjectMeta{Name: "renamed"}))
	var names []string
	for _, object := range must(store.List(ctx)) {
		names = append(names, object.Name)
	}
	sort.Strings(names)
	same(names, []string{"alias", "renamed"}, "the objects")
	ok(store.Delete(ctx, "renamed"))
	if _, err := store.GetBytes(ctx, "renamed"); !errors.Is(err, jetstream.ErrObjectNotFound) {
		fail("a deleted object: %v", err)
	}
	ok(store.Seal(ctx))
	if _, err := store.PutString(ctx, "late", "x"); err == nil {
		fail("an object was put into a sealed store")
	}
	return 26
}

func services(_ context.Context, nc *nats.Conn) int {
	service := must(micro.AddService(nc, micro.Config{Name: "adder", Version: "1.0.0", Description: "adds"}))
	math := service.AddGroup("math")
	ok(math.AddEndpoint("add", micro.HandlerFunc(func(request micro.Request) {
		var left, right int
		if _, err := fmt.Sscan(string(request.Data()), &left, &right); err != nil {
			_ = request.Error("400", "two numbers, please", nil)
			return
		}
		_ = request.Respond([]byte(fmt.Sprint(left + right)))
	})))
	for number := range 5 {
		same(string(must(nc.Request("math.add", []byte(fmt.Sprint(number, 2)), wait)).Data), fmt.Sprint(number+2), "a sum")
	}
	same(must(nc.Request("math.add", []byte("x"), wait)).Header.Get("Nats-Service-Error-Code"), "400", "the service's error")
	for _, verb := range []string{"PING", "INFO", "STATS"} {
		for _, subject := range []string{"$SRV." + verb, "$SRV." + verb + ".adder", "$SRV." + verb + ".adder." + service.Info().ID} {
			answer := must(nc.Request(subject, nil, wait)).Data
			if !bytes.Contains(answer, []byte(`"name":"adder"`)) {
				fail("%s: %s", subject, answer)
			}
		}
	}
	stats := service.Stats().Endpoints[0]
	same([]int{stats.NumRequests, stats.NumErrors}, []int{6, 1}, "its statistics")
	ok(service.Stop())
	if _, err := nc.Request("math.add", []byte("1 2"), wait); !errors.Is(err, nats.ErrNoResponders) {
		fail("a request to a stopped service: %v", err)
	}
	return 15
}

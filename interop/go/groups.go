package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A group and what its members processed; the lock guards all of it.
type group struct {
	sync.Mutex
	topic, name string
	balancer    kgo.GroupBalancer
	changed     chan struct{}
	seen        map[string]bool
	owned       map[string]int
	leave       map[string]context.CancelFunc
	left        map[string]chan struct{}
	err         error
}

func (group *group) change(body func()) {
	group.Lock()
	defer group.Unlock()
	body()
	close(group.changed)
	group.changed = make(chan struct{})
}

func (group *group) wait(what string, condition func() bool) error {
	timeout := time.After(limit)
	for {
		group.Lock()
		holds, changed, err := condition(), group.changed, group.err
		seen, owned := len(group.seen), fmt.Sprint(group.owned)
		group.Unlock()
		if err != nil || holds {
			return err
		}
		select {
		case <-changed:
		case <-timeout:
			return fmt.Errorf("in vain awaited that %s; %d processed, owned %s", what, seen, owned)
		}
	}
}

func (group *group) join(name string) {
	ctx, cancel := context.WithCancel(context.Background())
	group.leave[name], group.left[name] = cancel, make(chan struct{})
	go func() {
		defer close(group.left[name])
		if err := group.member(ctx, name); err != nil {
			group.change(func() { group.err = fmt.Errorf("%s: %w", name, err) })
		}
	}()
}

// Reads, commits, and only then counts what it read; rebalances wait until a poll's records are committed.
func (group *group) member(ctx context.Context, name string) error {
	owns := func(by int) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
			group.change(func() { group.owned[name] += by * len(partitions[group.topic]) })
		}
	}
	consumer, err := client(kgo.ConsumerGroup(group.name), kgo.ConsumeTopics(group.topic), kgo.Balancers(group.balancer),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.HeartbeatInterval(500*time.Millisecond), kgo.OnPartitionsAssigned(owns(1)), kgo.OnPartitionsRevoked(owns(-1)),
		kgo.OnPartitionsLost(owns(-1)))
	if err != nil {
		return err
	}
	defer consumer.CloseAllowingRebalance()
	for ctx.Err() == nil {
		fetches := consumer.PollRecords(ctx, 100)
		if err := fetches.Err(); err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
		records := fetches.Records()
		if len(records) > 0 {
			if err := consumer.CommitRecords(context.Background(), records...); err != nil {
				return err
			}
			group.change(func() { group.count(records) })
		}
		consumer.AllowRebalance()
	}
	return nil
}

func (group *group) count(records []*kgo.Record) {
	for _, record := range records {
		id := fmt.Sprint(record.Partition, "@", record.Offset)
		if group.seen[id] {
			group.err = errors.New("read twice: " + id)
		}
		group.seen[id] = true
	}
}

func (group *group) stop(name string) {
	group.leave[name]()
	<-group.left[name]
}

// Three members join one after another, one leaves, another joins; records come in between.
func groupCase(name string, balancer kgo.GroupBalancer) func() error {
	return func() error {
		where, err := topic("group-"+name, 6, nil)
		if err != nil {
			return err
		}
		group := &group{topic: where, name: unique("group-" + name), balancer: balancer, changed: make(chan struct{}), seen: map[string]bool{},
			owned: map[string]int{}, leave: map[string]context.CancelFunc{}, left: map[string]chan struct{}{}}
		defer func() {
			for name := range group.leave {
				group.stop(name)
			}
		}()
		if err := group.joinAndLeave(); err != nil {
			return err
		}
		return group.committed()
	}
}

func (group *group) joinAndLeave() error {
	const phase = 2000
	lines, err := lines(phase)
	if err != nil {
		return err
	}
	producer, err := client()
	if err != nil {
		return err
	}
	defer producer.Close()
	steps := []struct {
		what  string
		join  []string
		leave string
		owned []int
	}{
		{"one member", []string{"first"}, "", []int{6}},
		{"three members", []string{"second", "third"}, "", []int{2, 2, 2}},
		{"two members", nil, "first", []int{3, 3}},
		{"three members again", []string{"fourth"}, "", []int{2, 2, 2}},
	}
	for i, step := range steps {
		for _, name := range step.join {
			group.join(name)
		}
		if step.leave != "" {
			group.stop(step.leave)
		}
		if err := group.wait(step.what+" share the partitions", func() bool { return slices.Equal(group.shares(), step.owned) }); err != nil {
			return err
		}
		if err := send(producer, group.topic, lines, i*phase); err != nil {
			return err
		}
		if err := group.wait(step.what+" read all", func() bool { return len(group.seen) == (i+1)*phase }); err != nil {
			return err
		}
	}
	return nil
}

// How many partitions each member that has any owns.
func (group *group) shares() []int {
	var shares []int
	for _, owned := range group.owned {
		if owned > 0 {
			shares = append(shares, owned)
		}
	}
	slices.Sort(shares)
	return shares
}

func (group *group) committed() error {
	admin, err := admin()
	if err != nil {
		return err
	}
	defer admin.Close()
	ctx, cancel := within()
	defer cancel()
	offsets, err := admin.FetchOffsets(ctx, group.name)
	if err != nil {
		return err
	}
	ends, err := admin.ListEndOffsets(ctx, group.topic)
	if err != nil {
		return err
	}
	var wrong error
	ends.Each(func(end kadm.ListedOffset) {
		offset, _ := offsets.Lookup(end.Topic, end.Partition)
		wrong = errors.Join(wrong, equal(offset.At, end.Offset, fmt.Sprintf("committed offset of partition %d", end.Partition)))
	})
	return wrong
}

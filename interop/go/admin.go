package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func topics() error { return withAdmin(alterTopic) }

func alterTopic(ctx context.Context, admin *kadm.Client) error {
	name := unique("topics")
	if _, err := admin.CreateTopic(ctx, 3, 1, map[string]*string{"retention.ms": kadm.StringPtr("12345")}, name); err != nil {
		return err
	}
	if err := hasPartitions(admin, name, 3); err != nil {
		return err
	}
	if err := hasConfig(admin, name, "retention.ms", "12345"); err != nil {
		return err
	}
	changes := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("1000")}}
	if _, err := admin.AlterTopicConfigs(ctx, changes, name); err != nil {
		return err
	}
	if err := hasConfig(admin, name, "retention.ms", "1000"); err != nil {
		return err
	}
	if _, err := admin.UpdatePartitions(ctx, 5, name); err != nil {
		return err
	}
	if err := hasPartitions(admin, name, 5); err != nil {
		return err
	}
	if _, err := admin.CreateTopic(ctx, 1, 1, nil, name); !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("a second topic of that name: %v", err)
	}
	if _, err := admin.DeleteTopic(ctx, name); err != nil {
		return err
	}
	return eventually(func(ctx context.Context) error {
		listed, err := admin.ListTopics(ctx)
		return errors.Join(err, equal(listed.Has(name), false, "the deleted topic is listed"))
	})
}

func hasPartitions(admin *kadm.Client, name string, count int) error {
	return eventually(func(ctx context.Context) error {
		listed, err := admin.ListTopics(ctx, name)
		return errors.Join(err, equal(len(listed[name].Partitions), count, "partitions"))
	})
}

func hasConfig(admin *kadm.Client, name, key, value string) error {
	return eventually(func(ctx context.Context) error {
		described, err := admin.DescribeTopicConfigs(ctx, name)
		if err != nil {
			return err
		}
		resource, err := described.On(name, nil)
		if err != nil {
			return err
		}
		for _, config := range resource.Configs {
			if config.Key == key {
				return equal(config.MaybeValue(), value, key)
			}
		}
		return errors.New("no " + key)
	})
}

func deleteRecords() error {
	where, err := numbers("delete-records", 1, 100)
	if err != nil {
		return err
	}
	err = withAdmin(func(ctx context.Context, admin *kadm.Client) error {
		var offsets kadm.Offsets
		offsets.AddOffset(where, 0, 40, -1)
		deleted, err := admin.DeleteRecords(ctx, offsets)
		if err != nil {
			return err
		}
		result, _ := deleted.Lookup(where, 0)
		return errors.Join(result.Err, equal(result.LowWatermark, 40, "low watermark"))
	})
	if err != nil {
		return err
	}
	consumer, err := reader(where, 1, kgo.NewOffset().AtStart())
	if err != nil {
		return err
	}
	defer consumer.Close()
	next := int64(40)
	return take(consumer, 60, func(record *kgo.Record) error {
		next++
		return equal(record.Offset, next-1, "offset")
	})
}

func groups() error {
	where, err := topic("groups", 2, nil)
	if err != nil {
		return err
	}
	return withAdmin(func(ctx context.Context, admin *kadm.Client) error { return describeGroup(ctx, admin, where) })
}

func describeGroup(ctx context.Context, admin *kadm.Client, where string) error {
	name := unique("groups")
	assigned := make(chan int, 16)
	member, err := client(kgo.ConsumerGroup(name), kgo.ConsumeTopics(where), kgo.ClientID("the-client"), kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) { assigned <- len(partitions[where]) }))
	if err != nil {
		return err
	}
	defer member.Close()
	select {
	case count := <-assigned:
		if err := equal(count, 2, "partitions assigned"); err != nil {
			return err
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	described, err := admin.DescribeGroups(ctx, name)
	if err != nil {
		return err
	}
	if err := equal(len(described[name].Members), 1, "members"); err != nil {
		return err
	}
	if err := equal(described[name].Members[0].ClientID, "the-client", "client id"); err != nil {
		return err
	}
	member.Close()
	return alterOffsets(ctx, admin, name, where)
}

func alterOffsets(ctx context.Context, admin *kadm.Client, name, where string) error {
	var offsets kadm.Offsets
	offsets.AddOffset(where, 0, 7, -1)
	offsets.AddOffset(where, 1, 8, -1)
	if err := admin.CommitAllOffsets(ctx, name, offsets); err != nil {
		return err
	}
	fetched, err := admin.FetchOffsets(ctx, name)
	if err != nil {
		return err
	}
	second, _ := fetched.Lookup(where, 1)
	if err := equal(second.At, 8, "committed offset"); err != nil {
		return err
	}
	var first kadm.TopicsSet
	first.Add(where, 0)
	if _, err := admin.DeleteOffsets(ctx, name, first); err != nil {
		return err
	}
	if fetched, err = admin.FetchOffsets(ctx, name); err != nil {
		return err
	}
	if _, found := fetched.Lookup(where, 0); found {
		return errors.New("a deleted offset is there")
	}
	if _, err := admin.DeleteGroup(ctx, name); err != nil {
		return err
	}
	listed, err := admin.ListGroups(ctx)
	_, found := listed[name]
	return errors.Join(err, equal(found, false, "the deleted group is listed"))
}

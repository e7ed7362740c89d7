package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Lines go in over six partitions and come back, per key in order.
func linesCase(name string, count int, options ...kgo.Opt) func() error {
	return func() error {
		lines, err := lines(count)
		if err != nil {
			return err
		}
		where, err := topic(name, 6, nil)
		if err != nil {
			return err
		}
		producer, err := client(append(options, kgo.ProducerLinger(5*time.Millisecond))...)
		if err != nil {
			return err
		}
		defer producer.Close()
		if err := send(producer, where, lines, 0); err != nil {
			return err
		}
		return readBack(where, 6, lines)
	}
}

func readBack(where string, partitions int32, lines [][]byte) error {
	consumer, err := reader(where, partitions, kgo.NewOffset().AtStart())
	if err != nil {
		return err
	}
	defer consumer.Close()
	order := order{expected: lines}
	if err := take(consumer, len(lines), order.add); err != nil {
		return err
	}
	ctx, cancel := within()
	defer cancel()
	ends, err := kadm.NewClient(consumer).ListEndOffsets(ctx, where)
	if err != nil {
		return err
	}
	total := int64(0)
	ends.Each(func(offset kadm.ListedOffset) { total += offset.Offset })
	return equal(total, int64(len(lines)), "end offsets")
}

func headers() error {
	where, err := topic("headers", 1, nil)
	if err != nil {
		return err
	}
	binary := make([]byte, 256)
	for i := range binary {
		binary[i] = byte(i)
	}
	sent := []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "b"}, {Key: "a", Value: []byte{}}, {Key: "ключ", Value: binary}}
	return roundTrip(where, []*kgo.Record{{Topic: where, Value: []byte("value"), Headers: sent}}, func(_ int, record *kgo.Record) error {
		return equal(fmt.Sprintf("%#v", record.Headers), fmt.Sprintf("%#v", sent), "headers")
	})
}

func nulls() error {
	where, err := topic("nulls", 1, nil)
	if err != nil {
		return err
	}
	var sent []*kgo.Record
	for _, key := range [][]byte{nil, {}, []byte("key")} {
		for _, value := range [][]byte{nil, {}, []byte("value")} {
			sent = append(sent, &kgo.Record{Topic: where, Key: key, Value: value})
		}
	}
	return roundTrip(where, sent, func(i int, record *kgo.Record) error {
		got, expected := fmt.Sprintf("%#v %#v", record.Key, record.Value), fmt.Sprintf("%#v %#v", sent[i].Key, sent[i].Value)
		return equal(got, expected, fmt.Sprintf("record %d", i))
	})
}

// Sends records to a topic of one partition and passes each that comes back to check.
func roundTrip(where string, sent []*kgo.Record, check func(int, *kgo.Record) error) error {
	producer, err := client(kgo.ProducerBatchCompression(kgo.ZstdCompression()))
	if err != nil {
		return err
	}
	defer producer.Close()
	ctx, cancel := within()
	defer cancel()
	if err := producer.ProduceSync(ctx, sent...).FirstErr(); err != nil {
		return err
	}
	consumer, err := reader(where, 1, kgo.NewOffset().AtStart())
	if err != nil {
		return err
	}
	defer consumer.Close()
	i := -1
	return take(consumer, len(sent), func(record *kgo.Record) error {
		i++
		return check(i, record)
	})
}

func timestamps() error {
	where, err := topic("timestamps", 1, nil)
	if err != nil {
		return err
	}
	start := time.Now().UnixMilli() - 1_000_000
	var sent []*kgo.Record
	for i := range int64(1000) {
		sent = append(sent, &kgo.Record{Topic: where, Value: []byte("v"), Timestamp: time.UnixMilli(start + i*10)})
	}
	err = roundTrip(where, sent, func(i int, record *kgo.Record) error {
		return equal(record.Timestamp.UnixMilli(), start+int64(i)*10, "timestamp")
	})
	if err != nil {
		return err
	}
	return withAdmin(func(ctx context.Context, admin *kadm.Client) error {
		for asked, expected := range map[int64]int64{0: 0, start - 1: 0, start: 0, start + 1: 1, start + 5005: 501, start + 9990: 999, start + 9991: 1000} {
			found, err := admin.ListOffsetsAfterMilli(ctx, asked, where)
			if err != nil {
				return err
			}
			offset, _ := found.Lookup(where, 0)
			if err := equal(offset.Offset, expected, fmt.Sprintf("offset of time start%+d", asked-start)); err != nil {
				return err
			}
		}
		latest, err := admin.ListMaxTimestampOffsets(ctx, where)
		if err != nil {
			return err
		}
		offset, _ := latest.Lookup(where, 0)
		return equal(offset.Offset, 999, "offset of the largest timestamp")
	})
}

// numbers makes a topic in which the record at offset n of each partition is "vn".
func numbers(name string, partitions int32, each int) (string, error) {
	where, err := topic(name, partitions, nil)
	if err != nil {
		return "", err
	}
	producer, err := client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(2000))
	if err != nil {
		return "", err
	}
	defer producer.Close()
	var records []*kgo.Record
	for i := range each {
		for partition := range partitions {
			records = append(records, &kgo.Record{Topic: where, Partition: partition, Value: []byte(fmt.Sprintf("v%d", i))})
		}
	}
	ctx, cancel := within()
	defer cancel()
	return where, producer.ProduceSync(ctx, records...).FirstErr()
}

func seek() error {
	where, err := numbers("seek", 1, 5000)
	if err != nil {
		return err
	}
	consumer, err := reader(where, 1, kgo.NewOffset().AtStart())
	if err != nil {
		return err
	}
	defer consumer.Close()
	for _, offset := range []int64{0, 4999, 1, 2500, 17, 4000} {
		consumer.SetOffsets(map[string]map[int32]kgo.EpochOffset{where: {0: {Epoch: -1, Offset: offset}}})
		ctx, cancel := within()
		fetches := consumer.PollRecords(ctx, 1)
		cancel()
		if err := fetches.Err(); err != nil {
			return err
		}
		record := fetches.Records()[0]
		if err := equal(fmt.Sprint(record.Offset, string(record.Value)), fmt.Sprint(offset, fmt.Sprintf("v%d", offset)), "sought"); err != nil {
			return err
		}
	}
	return nil
}

func pause() error {
	where, err := numbers("pause", 2, 500)
	if err != nil {
		return err
	}
	consumer, err := reader(where, 2, kgo.NewOffset().AtStart())
	if err != nil {
		return err
	}
	defer consumer.Close()
	only := func(partition int32) func(*kgo.Record) error {
		return func(record *kgo.Record) error { return equal(record.Partition, partition, "partition while the other is paused") }
	}
	consumer.PauseFetchPartitions(map[string][]int32{where: {0}})
	if err := take(consumer, 500, only(1)); err != nil {
		return err
	}
	consumer.PauseFetchPartitions(map[string][]int32{where: {1}})
	consumer.ResumeFetchPartitions(map[string][]int32{where: {0}})
	return take(consumer, 500, only(0))
}

func idempotentThroughRestart() error {
	if env("RESTART", "") == "" {
		return skip("the broker is not ours to restart")
	}
	lines, err := lines(20_000)
	if err != nil {
		return err
	}
	where, err := topic("restart", 3, nil)
	if err != nil {
		return err
	}
	producer, err := client(kgo.ProducerBatchMaxBytes(2000), kgo.RecordDeliveryTimeout(2*limit))
	if err != nil {
		return err
	}
	defer producer.Close()
	var acknowledged atomic.Int64
	quarter, failed := make(chan struct{}), make(chan error, len(lines))
	for i, line := range lines {
		producer.Produce(context.Background(), &kgo.Record{Topic: where, Key: key(i), Value: line}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed <- err
			}
			if acknowledged.Add(1) == 5_000 {
				close(quarter)
			}
		})
		if i == 10_000 {
			select {
			case <-quarter:
			case <-time.After(limit):
				return errors.New("a quarter is not acknowledged in time")
			}
			if err := restart(); err != nil {
				return err
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*limit)
	defer cancel()
	if err := producer.Flush(ctx); err != nil {
		return err
	}
	if len(failed) > 0 {
		return <-failed
	}
	return readBack(where, 3, lines)
}

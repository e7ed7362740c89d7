// Package main runs franz-go against the broker at BOOTSTRAP: a line a case (PASS, FAIL, SKIP), then the counts.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// How long anything awaited may take.
const limit = 60 * time.Second

// Keys that lines are spread over.
const keys = 97

var (
	bootstrap = env("BOOTSTRAP", "localhost:9092")
	run       = strconv.FormatInt(time.Now().UnixNano(), 36)
	corpus    [][]byte
)

// A test is a claim about the broker.
type test struct {
	name string
	body func() error
}

// A skip is the error of a case that cannot run here.
type skip string

func (why skip) Error() string { return string(why) }

func main() {
	passed, failed, skipped := 0, 0, 0
	only := env("ONLY", "")
	for _, test := range cases() {
		if only != "" && !slices.Contains(strings.Split(only, ","), test.name) {
			continue
		}
		start := time.Now()
		err := test.body()
		var why skip
		switch {
		case err == nil:
			passed++
			fmt.Printf("PASS %s %.1f\n", test.name, time.Since(start).Seconds())
		case errors.As(err, &why):
			skipped++
			fmt.Printf("SKIP %s: %s\n", test.name, why)
		default:
			failed++
			fmt.Printf("FAIL %s: %s\n", test.name, strings.ReplaceAll(err.Error(), "\n", " "))
		}
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	if failed > 0 || passed == 0 {
		os.Exit(1)
	}
}

func cases() []test {
	many, _ := strconv.Atoi(env("LINES", "1000000"))
	all := []test{{"many_lines_in_order_per_key", linesCase("many", many, kgo.ProducerBatchCompression(kgo.Lz4Compression()))}}
	codecs := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	for _, name := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		all = append(all, test{"codec_" + name, linesCase("codec-"+name, 20_000, kgo.ProducerBatchCompression(codecs[name]))})
	}
	all = append(all,
		test{"acks_0", linesCase("acks-0", 20_000, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())},
		test{"acks_1", linesCase("acks-1", 20_000, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())},
		test{"headers", headers}, test{"null_keys_and_values", nulls}, test{"timestamps_and_lookup_by_time", timestamps},
		test{"group_of_three_range", groupCase("range", kgo.RangeBalancer())},
		test{"group_of_three_cooperative", groupCase("cooperative", kgo.CooperativeStickyBalancer())},
		test{"seek", seek}, test{"pause_and_resume", pause}, test{"topics_and_their_configs", topics},
		test{"delete_records", deleteRecords}, test{"groups_and_their_offsets", groups},
		test{"idempotent_producer_through_a_restart", idempotentThroughRestart})
	return all
}

func env(name, otherwise string) string {
	if value, ok := os.LookupEnv(name); ok {
		return value
	}
	return otherwise
}

// A name of a topic or group that no other run uses.
func unique(name string) string { return "go-" + name + "-" + run }

// The first count lines of the corpus.
func lines(count int) ([][]byte, error) {
	if corpus == nil {
		file, err := os.Open(env("LINES_FILE", "lines.txt"))
		if err != nil {
			return nil, err
		}
		defer file.Close()
		scanner := bufio.NewScanner(file)
		for scanner.Scan() {
			corpus = append(corpus, slices.Clone(scanner.Bytes()))
		}
		if err := scanner.Err(); err != nil {
			return nil, err
		}
	}
	return corpus[:min(count, len(corpus))], nil
}

func key(line int) []byte { return []byte(fmt.Sprintf("k%d", line%keys)) }

func equal[T comparable](got, expected T, what string) error {
	if got != expected {
		return fmt.Errorf("%s: got %v, expected %v", what, got, expected)
	}
	return nil
}

func within() (context.Context, context.CancelFunc) { return context.WithTimeout(context.Background(), limit) }

// A broker applies metadata a moment after the controller answered: repeats a question until its answer is right.
func eventually(question func(context.Context) error) error {
	ctx, cancel := within()
	defer cancel()
	for {
		err := question(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
}

func client(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(bootstrap), kgo.FetchMaxWait(100 * time.Millisecond),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.MaxBufferedRecords(100_000)}, options...)...)
}

func admin() (*kadm.Client, error) {
	inner, err := client()
	if err != nil {
		return nil, err
	}
	return kadm.NewClient(inner), nil
}

// withAdmin runs body with an admin client and the time that anything awaited may take.
func withAdmin(body func(context.Context, *kadm.Client) error) error {
	admin, err := admin()
	if err != nil {
		return err
	}
	defer admin.Close()
	ctx, cancel := within()
	defer cancel()
	return body(ctx, admin)
}

// Creates a topic and returns its name once its leaders serve.
func topic(name string, partitions int32, configs map[string]*string) (string, error) {
	name = unique(name)
	return name, withAdmin(func(ctx context.Context, admin *kadm.Client) error {
		if _, err := admin.CreateTopic(ctx, partitions, 1, configs, name); err != nil {
			return err
		}
		return eventually(func(ctx context.Context) error {
			offsets, err := admin.ListEndOffsets(ctx, name)
			if err != nil {
				return err
			}
			if len(offsets[name]) != int(partitions) {
				return errors.New("partitions are missing")
			}
			return offsets.Error()
		})
	})
}

// Sends lines keyed by their number and waits for every acknowledgement.
func send(producer *kgo.Client, topic string, lines [][]byte, first int) error {
	var failed error
	for i, line := range lines {
		record := &kgo.Record{Topic: topic, Key: key(first + i), Value: line}
		producer.Produce(context.Background(), record, func(_ *kgo.Record, err error) {
			if err != nil && failed == nil {
				failed = err
			}
		})
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*limit)
	defer cancel()
	if err := producer.Flush(ctx); err != nil {
		return err
	}
	return failed
}

// Reads all of a topic from the given offset in every partition, without a group.
func reader(topic string, partitions int32, at kgo.Offset) (*kgo.Client, error) {
	offsets := make(map[int32]kgo.Offset)
	for partition := range partitions {
		offsets[partition] = at
	}
	return client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets}))
}

// Reads until count records came, at most a poll more.
func take(consumer *kgo.Client, count int, each func(*kgo.Record) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*limit)
	defer cancel()
	for count > 0 {
		fetches := consumer.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("%d records are missing: %w", count, err)
		}
		for _, record := range fetches.Records() {
			if err := each(record); err != nil {
				return err
			}
			count--
		}
	}
	return nil
}

// Checks that the records of every key come in the order their lines were sent, each once.
type order struct {
	expected [][]byte
	next     [keys]int
}

func (order *order) add(record *kgo.Record) error {
	number, err := strconv.Atoi(string(record.Key[1:]))
	if err != nil {
		return err
	}
	line := number + keys*order.next[number]
	order.next[number]++
	if line >= len(order.expected) {
		return fmt.Errorf("key %d has a line too many", number)
	}
	return equal(string(record.Value), string(order.expected[line]), fmt.Sprintf("line %d", line))
}

func restart() error {
	command := env("RESTART", "")
	if command == "" {
		return skip("the broker is not ours to restart")
	}
	return exec.Command("sh", "-c", command).Run()
}

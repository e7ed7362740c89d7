import java.time.Duration;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;

/** Clients that live through a restart of the broker. */
final class Restarts {
    private static final int COUNT = 20_000;

    static void cases() {
        Suite.run("idempotent_producer_through_a_restart", Restarts::idempotent);
        Suite.run("group_through_a_restart", Restarts::group);
    }

    private static void restart() throws Exception {
        if (Suite.RESTART.isEmpty()) {
            throw new Suite.Skip("the broker is not ours to restart");
        }
        Process process = new ProcessBuilder("sh", "-c", Suite.RESTART).inheritIO().start();
        Suite.check(process.waitFor(180, TimeUnit.SECONDS) && process.exitValue() == 0, "the broker restarts");
    }

    private static void idempotent() throws Exception {
        String topic = Clients.topic("restart", 3);
        List<String> lines = Suite.lines(COUNT);
        CountDownLatch quarter = new CountDownLatch(COUNT / 4);
        CountDownLatch all = new CountDownLatch(COUNT);
        AtomicReference<Exception> failed = new AtomicReference<>();
        try (KafkaProducer<String, String> producer = Clients.producer("enable.idempotence", "true", "acks", "all", "linger.ms", "0",
                "batch.size", "500", "delivery.timeout.ms", "120000", "request.timeout.ms", "5000")) {
            Thread sender = new Thread(() -> {
                for (int i = 0; i < COUNT; i++) {
                    producer.send(new ProducerRecord<>(topic, Clients.key(i), lines.get(i)), (metadata, error) -> {
                        failed.compareAndSet(null, error);
                        quarter.countDown();
                        all.countDown();
                    });
                }
            });
            sender.start();
            Suite.check(quarter.await(60, TimeUnit.SECONDS), "a quarter is acknowledged");
            restart();
            Suite.check(all.await(120, TimeUnit.SECONDS), "all is acknowledged");
            sender.join();
        }
        Suite.equal(failed.get(), null, "failed sends");
        try (KafkaConsumer<String, String> reader = Clients.reader(topic, 3)) {
            int[] next = new int[Clients.KEYS];
            for (ConsumerRecord<String, String> record : Clients.take(reader, COUNT)) {
                int key = Integer.parseInt(record.key().substring(1));
                int line = key + Clients.KEYS * next[key]++;
                Suite.check(line < COUNT, "key " + key + " has a line too many");
                Suite.equal(record.value(), lines.get(line), "line " + line);
            }
            Suite.equal(Clients.sum(reader.endOffsets(reader.assignment()).values()), (long) COUNT, "end offsets");
        }
    }

    private static void group() throws Exception {
        String topic = Clients.topic("group-restart", 1);
        String group = Suite.unique("group-restart");
        try (KafkaProducer<String, String> producer = Clients.producer();
                KafkaConsumer<String, String> consumer = Clients.consumer("group.id", group, "max.poll.records", "10", "request.timeout.ms", "5000")) {
            Clients.send(producer, topic, Suite.lines(100));
            consumer.subscribe(List.of(topic));
            Suite.equal(Clients.take(consumer, 10).get(0).offset(), 0L, "the first record");
            consumer.commitSync(Duration.ofSeconds(60));
            long next = consumer.position(consumer.assignment().iterator().next());
            restart();
            Clients.send(producer, topic, Suite.lines(100));
            List<ConsumerRecord<String, String>> rest = Clients.take(consumer, 200 - (int) next);
            Suite.equal(rest.get(0).offset(), next, "the first record after the restart");
            Suite.equal(rest.get(rest.size() - 1).offset(), 199L, "the last record");
            consumer.commitSync(Duration.ofSeconds(60));
        }
        try (KafkaConsumer<String, String> consumer = Clients.consumer("group.id", group)) {
            var partition = new org.apache.kafka.common.TopicPartition(topic, 0);
            Suite.equal(consumer.committed(java.util.Set.of(partition)).get(partition).offset(), 200L, "committed");
        }
    }

    private Restarts() {
    }
}

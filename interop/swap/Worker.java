import java.time.Duration;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.ReadWriteLock;
import java.util.concurrent.locks.ReentrantReadWriteLock;

/** A client that works step by step until it is ended. Nobody is inside a step while {@link #GATE} is held for writing. */
abstract class Worker extends Thread {
    static final ReadWriteLock GATE = new ReentrantReadWriteLock(true);
    static final Duration POLL = Duration.ofMillis(200);

    /** What it has done, in its own unit; it only grows. */
    final AtomicLong progress = new AtomicLong();
    private volatile boolean ending;
    private volatile Throwable failure;

    Worker(String name) {
        super(name);
        setDaemon(true);
    }

    abstract void step() throws Exception;

    abstract void close();

    @Override
    public void run() {
        try {
            while (!ending) {
                GATE.readLock().lock();
                try {
                    step();
                } finally {
                    GATE.readLock().unlock();
                }
            }
        } catch (Throwable error) {
            error.printStackTrace();
            failure = error;
        } finally {
            close();
        }
    }

    /** Lets it end its step and waits for that. */
    void end() throws Exception {
        ending = true;
        join();
        check();
    }

    /** Throws what ended it, if something did. */
    void check() {
        if (failure != null) {
            throw new IllegalStateException(getName() + " failed: " + failure, failure);
        }
    }
}

import java.nio.ByteBuffer;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Random;
import java.util.TreeMap;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Field;
import org.apache.kafka.common.protocol.types.RawTaggedField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.Struct;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;
import org.apache.kafka.common.record.internal.MemoryRecords;

/** Random values of the schemas that Kafka's generated messages carry. */
final class RandomValues {
    private static final int[] CODE_POINTS = {'a', 'Z', '0', '-', 'é', 'ß', '水', 0x1F980};
    private static final int FIRST_UNKNOWN_TAG = 1000;

    private final Random random;

    RandomValues(long seed) {
        random = new Random(seed);
    }

    byte[] bytesOf(Schema schema) {
        Struct struct = struct(schema);
        ByteBuffer buffer = ByteBuffer.allocate(schema.sizeOf(struct));
        schema.write(buffer, struct);
        return buffer.array();
    }

    private Struct struct(Schema schema) {
        Struct struct = new Struct(schema);
        for (BoundField field : schema.fields()) {
            struct.set(field, value(field.def.type));
        }
        return struct;
    }

    private Object value(Type type) {
        if (type instanceof TaggedFields tagged) {
            return taggedFields(tagged);
        }
        if (type.isNullable() && random.nextInt(4) == 0) {
            return null;
        }
        if (type instanceof Schema schema) {
            return struct(schema);
        }
        if (type.arrayElementType().isPresent()) {
            Object[] elements = new Object[random.nextInt(4)];
            for (int i = 0; i < elements.length; i++) {
                elements[i] = value(type.arrayElementType().get());
            }
            return elements;
        }
        return primitive(type);
    }

    private Object primitive(Type type) {
        String name = type.toString();
        if (name.contains("STRING")) {
            return string();
        }
        if (name.contains("BYTES")) {
            return ByteBuffer.wrap(bytes());
        }
        if (name.contains("RECORDS")) {
            return MemoryRecords.readableRecords(ByteBuffer.wrap(bytes()));
        }
        return switch (name) {
            case "BOOLEAN" -> random.nextBoolean();
            case "INT8" -> (byte) number();
            case "INT16" -> (short) number();
            case "UINT16" -> (int) number() & 0xffff;
            case "INT32" -> (int) number();
            case "UINT32" -> number() & 0xffffffffL;
            case "INT64" -> number();
            case "FLOAT64" -> random.nextInt() / 4.0; // Short in decimal, so that no reader rounds it.
            case "UUID" -> new Uuid(number(), number());
            default -> throw new IllegalArgumentException("unknown type " + name);
        };
    }

    private NavigableMap<Integer, Object> taggedFields(TaggedFields type) {
        NavigableMap<Integer, Object> values = new TreeMap<>();
        for (Map.Entry<Integer, Field> field : type.fields().entrySet()) {
            Type fieldType = field.getValue().type;
            // The schemas write a null structure in another way than the messages, where it is tagged.
            if (random.nextBoolean()) {
                values.put(field.getKey(), fieldType instanceof Schema schema ? struct(schema) : value(fieldType));
            }
        }
        if (random.nextInt(8) == 0) {
            int tag = FIRST_UNKNOWN_TAG + random.nextInt(100_000);
            values.put(tag, new RawTaggedField(tag, bytes()));
        }
        return values;
    }

    private long number() {
        return switch (random.nextInt(6)) {
            case 0 -> 0;
            case 1 -> -1;
            case 2 -> random.nextInt(200);
            case 3 -> Long.MAX_VALUE;
            case 4 -> Long.MIN_VALUE;
            default -> random.nextLong();
        };
    }

    private int length() {
        return random.nextInt(40) == 0 ? 100 + random.nextInt(200) : random.nextInt(12);
    }

    private byte[] bytes() {
        byte[] bytes = new byte[length()];
        random.nextBytes(bytes);
        return bytes;
    }

    private String string() {
        StringBuilder text = new StringBuilder();
        for (int left = length(); left > 0; left--) {
            text.appendCodePoint(CODE_POINTS[random.nextInt(CODE_POINTS.length)]);
        }
        return text.toString();
    }
}

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.NullNode;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.Schema;

/** Every generated message of the jars on the class path, by its name in the schemas. */
final class Messages {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final String SUFFIX = "JsonConverter";

    private final Map<String, Kind> kinds = new TreeMap<>();

    /** Messages of Kafka Streams have no JSON form: {@code toJson} is null. */
    private record Kind(String name, Class<?> message, Method toJson) {
        Message create() throws Exception {
            return (Message) message.getConstructor().newInstance();
        }

        Schema[] schemas() throws Exception {
            return (Schema[]) message.getField("SCHEMAS").get(null);
        }

        short lowestVersion() throws Exception {
            return message.getField("LOWEST_SUPPORTED_VERSION").getShort(null);
        }

        short highestVersion() throws Exception {
            return message.getField("HIGHEST_SUPPORTED_VERSION").getShort(null);
        }

        JsonNode json(Message value, short version) throws Exception {
            return toJson == null ? NullNode.getInstance() : (JsonNode) toJson.invoke(null, value, version);
        }
    }

    Messages(String classPath) throws Exception {
        for (String jar : classPath.split(":")) {
            if (!jar.endsWith(".jar")) {
                continue;
            }
            try (JarFile file = new JarFile(jar)) {
                for (JarEntry entry : file.stream().toList()) {
                    String path = entry.getName();
                    if (!path.startsWith("org/apache/kafka/") || !path.endsWith(".class") || path.contains("$")) {
                        continue;
                    }
                    String name = path.substring(0, path.length() - ".class".length()).replace('/', '.');
                    // Kafka Connect has a class of this very name.
                    if (name.endsWith(SUFFIX) && !name.endsWith("." + SUFFIX)) {
                        add(name);
                    } else if (name.startsWith("org.apache.kafka.streams.internals.generated.")) {
                        Class<?> message = Class.forName(name);
                        kinds.put(message.getSimpleName(), new Kind(message.getSimpleName(), message, null));
                    }
                }
            }
        }
    }

    private void add(String converterName) throws Exception {
        Class<?> converter = Class.forName(converterName);
        Class<?> message = Class.forName(converterName.substring(0, converterName.length() - SUFFIX.length()));
        String name = message.getSimpleName();
        if (name.endsWith("RequestData") || name.endsWith("ResponseData") || name.endsWith("HeaderData")) {
            name = name.substring(0, name.length() - "Data".length());
        }
        kinds.put(name, new Kind(name, message, converter.getMethod("write", message, short.class)));
    }

    /** Lines of name, version, bytes in hexadecimal and JSON. */
    List<String> random(long seed, int count) throws Exception {
        List<String> lines = new ArrayList<>();
        for (Kind kind : kinds.values()) {
            RandomValues random = new RandomValues(seed + kind.name().hashCode());
            for (short version = kind.lowestVersion(); version <= kind.highestVersion(); version++) {
                for (int i = 0; i < count; i++) {
                    Message value = kind.create();
                    byte[] seedBytes = random.bytesOf(kind.schemas()[version]);
                    value.read(new ByteBufferAccessor(ByteBuffer.wrap(seedBytes)), version);
                    String json = kind.json(value, version).toString();
                    lines.add(String.join("\t", kind.name(), Short.toString(version), hex(encode(value, version)), json));
                }
            }
        }
        return lines;
    }

    /** Decodes and encodes again what each line says; a line per disagreement goes to {@code faults}. */
    void judge(List<String> lines, List<String> faults) {
        for (String line : lines) {
            String[] parts = line.split("\t", 4);
            try {
                Kind kind = kinds.get(parts[0]);
                short version = Short.parseShort(parts[1]);
                ByteBuffer bytes = ByteBuffer.wrap(HexFormat.of().parseHex(parts[2]));
                Message value = kind.create();
                value.read(new ByteBufferAccessor(bytes), version);
                String again = hex(encode(value, version));
                JsonNode json = JSON.readTree(kind.json(value, version).toString());
                if (bytes.hasRemaining()) {
                    faults.add("trailing bytes\t" + line);
                } else if (!again.equals(parts[2])) {
                    faults.add("encoded as " + again + "\t" + line);
                } else if (kind.toJson() != null && !json.equals(JSON.readTree(parts[3]))) {
                    faults.add("read as " + json + "\t" + line);
                }
            } catch (Exception e) {
                faults.add(e + "\t" + line);
            }
        }
    }

    private static byte[] encode(Message value, short version) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer out = ByteBuffer.allocate(value.size(cache, version));
        value.write(new ByteBufferAccessor(out), cache, version);
        return out.array();
    }

    private static String hex(byte[] bytes) {
        return HexFormat.of().formatHex(bytes);
    }
}

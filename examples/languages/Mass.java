// Molecular masses of formulas, in Java 17: records come and answers go in the frames of docs/record-protocol.md.
//
//     javac -d classes Mass.java
//     aliquot run exec formulas.csv --program classes --command "java -XX:+UseSerialGC -Xmx64m -cp {program} Mass" --out runs/mass
//
// The first half of this file reads and writes the msgpack that the protocol needs; it may be copied.

import java.io.*;
import java.nio.charset.StandardCharsets;
import java.util.*;

public class Mass {
    // ---- msgpack: what comes in, as Long, Double, Boolean, String, byte[], List, Map or null

    static Object read(DataInputStream in) throws IOException {
        int type = in.readUnsignedByte();
        if (type < 0x80 || type >= 0xe0) return (long) (byte) type;
        if (type < 0x90) return readMap(in, type & 15);
        if (type < 0xa0) return readList(in, type & 15);
        if (type < 0xc0) return readText(in, type & 31);
        switch (type) {
            case 0xc0: return null;
            case 0xc2: return false;
            case 0xc3: return true;
            case 0xc4: case 0xc5: case 0xc6: return in.readNBytes(readLength(in, 1 << type - 0xc4));
            case 0xc7: case 0xc8: case 0xc9: return in.readNBytes(readLength(in, 1 << type - 0xc7) + 1);
            case 0xca: return (double) in.readFloat();
            case 0xcb: return in.readDouble();
            case 0xcc: return (long) in.readUnsignedByte();
            case 0xcd: return (long) in.readUnsignedShort();
            case 0xce: return in.readInt() & 0xffffffffL;
            case 0xcf: case 0xd3: return in.readLong();
            case 0xd0: return (long) in.readByte();
            case 0xd1: return (long) in.readShort();
            case 0xd2: return (long) in.readInt();
            case 0xd4: case 0xd5: case 0xd6: case 0xd7: case 0xd8: return in.readNBytes((1 << type - 0xd4) + 1);
            case 0xd9: case 0xda: case 0xdb: return readText(in, readLength(in, 1 << type - 0xd9));
            case 0xdc: case 0xdd: return readList(in, readLength(in, type == 0xdc ? 2 : 4));
            case 0xde: case 0xdf: return readMap(in, readLength(in, type == 0xde ? 2 : 4));
            default: throw new IOException("a type that msgpack does not have");
        }
    }

    static int readLength(DataInputStream in, int bytes) throws IOException {
        return bytes == 1 ? in.readUnsignedByte() : bytes == 2 ? in.readUnsignedShort() : in.readInt();
    }

    static String readText(DataInputStream in, int length) throws IOException {
        return new String(in.readNBytes(length), StandardCharsets.UTF_8);
    }

    static List<Object> readList(DataInputStream in, int length) throws IOException {
        List<Object> list = new ArrayList<>(length);
        while (length-- > 0) list.add(read(in));
        return list;
    }

    static Map<String, Object> readMap(DataInputStream in, int length) throws IOException {
        Map<String, Object> map = new HashMap<>();
        while (length-- > 0) map.put((String) read(in), read(in));
        return map;
    }

    // ---- msgpack: what goes out

    static void write(DataOutputStream out, Object value) throws IOException {
        if (value == null) {
            out.writeByte(0xc0);
        } else if (value instanceof Boolean) {
            out.writeByte((boolean) value ? 0xc3 : 0xc2);
        } else if (value instanceof Long) {
            out.writeByte(0xd3);
            out.writeLong((long) value);
        } else if (value instanceof Double) {
            out.writeByte(0xcb);
            out.writeDouble((double) value);
        } else if (value instanceof String) {
            byte[] text = ((String) value).getBytes(StandardCharsets.UTF_8);
            out.writeByte(0xdb);
            out.writeInt(text.length);
            out.write(text);
        } else if (value instanceof List) {
            out.writeByte(0xdd);
            out.writeInt(((List<?>) value).size());
            for (Object each : (List<?>) value) write(out, each);
        } else {
            out.writeByte(0xdf);
            out.writeInt(((Map<?, ?>) value).size());
            for (Map.Entry<?, ?> each : ((Map<?, ?>) value).entrySet()) {
                write(out, each.getKey());
                write(out, each.getValue());
            }
        }
    }

    // ---- the work

    static final Map<String, Double> MASSES = Map.ofEntries(
        Map.entry("H", 1.008), Map.entry("B", 10.81), Map.entry("C", 12.011), Map.entry("N", 14.007),
        Map.entry("O", 15.999), Map.entry("F", 18.998), Map.entry("P", 30.974), Map.entry("S", 32.06),
        Map.entry("Cl", 35.45), Map.entry("Br", 79.904), Map.entry("I", 126.90));

    static double weigh(String formula) { // C6H12O6
        double mass = 0;
        for (int at = 0; at < formula.length(); ) {
            int end = at + 1;
            while (end < formula.length() && Character.isLowerCase(formula.charAt(end))) end++;
            Double element = MASSES.get(formula.substring(at, end));
            if (element == null) throw new IllegalArgumentException("no element " + formula.substring(at, end));
            at = end;
            while (end < formula.length() && Character.isDigit(formula.charAt(end))) end++;
            mass += element * (end > at ? Integer.parseInt(formula.substring(at, end)) : 1);
            at = end;
        }
        return mass;
    }

    static Object answer(Map<?, ?> record) {
        try {
            Map<String, Object> row = new LinkedHashMap<>(); // its columns are what they are called here
            row.put("id", record.get("id"));
            row.put("mass", weigh((String) record.get("formula")));
            return row;
        } catch (IllegalArgumentException err) {
            return err.getMessage(); // a text instead of rows: why the record failed
        }
    }

    public static void main(String[] arguments) throws IOException {
        DataInputStream in = new DataInputStream(new BufferedInputStream(System.in, 1 << 16));
        DataOutputStream out = new DataOutputStream(new BufferedOutputStream(System.out, 1 << 16));
        while (true) {
            byte[] head = in.readNBytes(4); // the length of the frame, which a reader of msgpack does not need
            if (head.length < 4) return;
            Map<?, ?> frame = (Map<?, ?>) read(in);
            Map<String, Object> said = new LinkedHashMap<>();
            if ("open".equals(frame.get("op"))) {
                said.put("op", "opened");
            } else {
                List<Object> answers = new ArrayList<>();
                for (Object record : (List<?>) frame.get("records")) answers.add(answer((Map<?, ?>) record));
                said.put("op", "answers");
                said.put("batch", frame.get("batch"));
                said.put("answers", answers);
            }
            ByteArrayOutputStream body = new ByteArrayOutputStream();
            write(new DataOutputStream(body), said);
            out.writeInt(body.size());
            body.writeTo(out);
            out.flush(); // the frame has to go: nothing more comes before it is answered
        }
    }
}

// Molecular masses of formulas, in C++17: records come and answers go in the frames of docs/record-protocol.md.
//
//     g++ -O2 -std=c++17 -static -o mass mass.cpp
//     aliquot run exec formulas.csv --program mass --command "{program}" --out runs/mass
//
// The first half of this file reads and writes the msgpack that the protocol needs; it may be copied.

#include <cctype>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

// ---- msgpack: what comes in

struct Value {  // text, bytes and numbers; lists and maps; null where nothing is set
    enum Kind { Null, Bool, Integer, Float, Text, Bytes, List, Map, Extension } kind = Null;
    int64_t integer = 0;
    double real = 0;
    std::string text;
    std::vector<Value> list;
    std::map<std::string, Value> map;
};

struct Reader {
    const unsigned char *at, *end;

    uint64_t number(int bytes) {
        if (end - at < bytes) throw std::runtime_error("a frame that ends too early");
        uint64_t value = 0;
        for (int n = 0; n < bytes; n++) value = value << 8 | *at++;
        return value;
    }
    Value bytes(Value::Kind kind, uint64_t length) {
        if (uint64_t(end - at) < length) throw std::runtime_error("a frame that ends too early");
        Value value;
        value.kind = kind;
        value.text.assign(reinterpret_cast<const char *>(at), length);
        at += length;
        return value;
    }
    Value integer(int64_t number) {
        Value value;
        value.kind = Value::Integer;
        value.integer = number;
        return value;
    }
    Value real(double number) {
        Value value;
        value.kind = Value::Float;
        value.real = number;
        return value;
    }
    Value list(uint64_t length) {
        Value value;
        value.kind = Value::List;
        while (length--) value.list.push_back(read());
        return value;
    }
    Value map(uint64_t length) {
        Value value;
        value.kind = Value::Map;
        while (length--) {
            std::string name = read().text;
            value.map[name] = read();
        }
        return value;
    }
    Value read() {
        unsigned char type = number(1);
        if (type < 0x80) return integer(type);
        if (type < 0x90) return map(type & 15);
        if (type < 0xa0) return list(type & 15);
        if (type < 0xc0) return bytes(Value::Text, type & 31);
        if (type >= 0xe0) return integer(int8_t(type));
        switch (type) {
            case 0xc0: return Value();
            case 0xc2: case 0xc3: { Value value = integer(type & 1); value.kind = Value::Bool; return value; }
            case 0xc4: case 0xc5: case 0xc6: return bytes(Value::Bytes, number(1 << (type - 0xc4)));
            case 0xc7: case 0xc8: case 0xc9: return bytes(Value::Extension, number(1 << (type - 0xc7)) + 1);
            case 0xca: { uint32_t bits = number(4); float single; memcpy(&single, &bits, 4); return real(single); }
            case 0xcb: { uint64_t bits = number(8); double both; memcpy(&both, &bits, 8); return real(both); }
            case 0xcc: case 0xcd: case 0xce: case 0xcf: return integer(number(1 << (type - 0xcc)));
            case 0xd0: return integer(int8_t(number(1)));
            case 0xd1: return integer(int16_t(number(2)));
            case 0xd2: return integer(int32_t(number(4)));
            case 0xd3: return integer(int64_t(number(8)));
            case 0xd4: case 0xd5: case 0xd6: case 0xd7: case 0xd8:
                return bytes(Value::Extension, (1 << (type - 0xd4)) + 1);
            case 0xd9: case 0xda: case 0xdb: return bytes(Value::Text, number(1 << (type - 0xd9)));
            case 0xdc: case 0xdd: return list(number(type == 0xdc ? 2 : 4));
            case 0xde: case 0xdf: return map(number(type == 0xde ? 2 : 4));
            default: throw std::runtime_error("a type that msgpack does not have");
        }
    }
};

// ---- msgpack: what goes out

struct Writer {
    std::string out;

    void number(int type, uint64_t value, int bytes) {
        out += char(type);
        for (int n = bytes - 1; n >= 0; n--) out += char(value >> (8 * n));
    }
    void map(uint32_t length) { number(0xdf, length, 4); }
    void list(uint32_t length) { number(0xdd, length, 4); }
    void integer(int64_t value) { number(0xd3, uint64_t(value), 8); }
    void real(double value) { uint64_t bits; memcpy(&bits, &value, 8); number(0xcb, bits, 8); }
    void text(const std::string &value) { number(0xdb, value.size(), 4); out += value; }
};

// ---- frames: four bytes of length, then a map

bool read_frame(Value &frame) {
    unsigned char head[4];
    if (fread(head, 1, 4, stdin) < 4) return false;
    std::vector<unsigned char> body(uint32_t(head[0]) << 24 | head[1] << 16 | head[2] << 8 | head[3]);
    if (fread(body.data(), 1, body.size(), stdin) < body.size()) return false;
    Reader reader{body.data(), body.data() + body.size()};
    frame = reader.read();
    return true;
}

void write_frame(const Writer &frame) {
    uint32_t size = frame.out.size();
    unsigned char head[4] = {(unsigned char)(size >> 24), (unsigned char)(size >> 16), (unsigned char)(size >> 8),
                             (unsigned char)size};
    fwrite(head, 1, 4, stdout);
    fwrite(frame.out.data(), 1, size, stdout);
    fflush(stdout);  // the frame has to go: nothing more comes before it is answered
}

// ---- the work

const std::map<std::string, double> MASSES = {{"H", 1.008},   {"B", 10.81},  {"C", 12.011}, {"N", 14.007},
                                              {"O", 15.999},  {"F", 18.998}, {"P", 30.974}, {"S", 32.06},
                                              {"Cl", 35.45}, {"Br", 79.904}, {"I", 126.90}};

double weigh(const std::string &formula) {  // C6H12O6
    double mass = 0;
    for (size_t at = 0; at < formula.size();) {
        size_t end = at + 1;
        while (end < formula.size() && islower(formula[end])) end++;
        auto element = MASSES.find(formula.substr(at, end - at));
        if (element == MASSES.end()) throw std::runtime_error("no element " + formula.substr(at, end - at));
        for (at = end; end < formula.size() && isdigit(formula[end]);) end++;
        mass += element->second * (end > at ? std::stoi(formula.substr(at, end - at)) : 1);
        at = end;
    }
    return mass;
}

void answer(const Value &record, Writer &to) {
    try {
        double mass = weigh(record.map.at("formula").text);
        to.map(2);  // a row: its columns are what they are called here
        to.text("id"), to.text(record.map.at("id").text);
        to.text("mass"), to.real(mass);
    } catch (const std::exception &err) {
        to.text(err.what());  // a text instead of rows: why the record failed
    }
}

int main() {
    Value frame;
    while (read_frame(frame)) {
        Writer said;
        if (frame.map["op"].text == "open") {
            said.map(1);
            said.text("op"), said.text("opened");
        } else {
            const std::vector<Value> &records = frame.map["records"].list;
            said.map(3);
            said.text("op"), said.text("answers");
            said.text("batch"), said.integer(frame.map["batch"].integer);
            said.text("answers"), said.list(records.size());
            for (const Value &record : records) answer(record, said);
        }
        write_frame(said);
    }
}

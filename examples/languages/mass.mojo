# Molecular masses of formulas, in Mojo 1.2: lines with tabs, since it is a process for up to a thousand of them.
#
#     mojo build mass.mojo -o mass-mojo
#     aliquot run exec formulas.csv --lines tsv --columns id,mass --program mass-mojo --command "{program}" --out runs/mass
#
# All input is read at once: each `input()` loses what came behind its line when it reads a pipe.


def weigh(formula: String) raises -> Float64:
    var masses: Dict[String, Float64] = {
        "H": 1.008, "B": 10.81, "C": 12.011, "N": 14.007, "O": 15.999, "F": 18.998,
        "P": 30.974, "S": 32.06, "Cl": 35.45, "Br": 79.904, "I": 126.90,
    }
    var mass = 0.0
    var element = String("")
    var times = String("")
    for codepoint in (formula + "H").codepoints():  # one more letter ends the last element
        var letter = String(codepoint)
        if letter >= "A" and letter <= "Z":
            if element.byte_length() > 0:
                mass += masses[element] * Float64(atol(times) if times.byte_length() > 0 else 1)
            element = letter
            times = String("")
        elif letter >= "0" and letter <= "9":
            times += letter
        else:
            element += letter
    return mass


def main() raises:
    var text = open("/dev/stdin", "r").read()
    for line in text.split("\n"):
        if line.byte_length() > 0:
            var values = line.split("\t")
            try:
                print(values[0], weigh(String(values[1])), sep="\t")
            except:
                print("")  # no row: TSV has no word for a failure, JSON has

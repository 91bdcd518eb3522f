"""What a doctor looks at, a module for each part of a stack: `doctor` says in which order.

`check_*` asks AWS and gives findings; `judge_*` is told what AWS said, and is pure. A check that AWS does not
let us make is a warning (`trying`). Nothing here changes anything: a finding ends with the command that does.
"""

"""What a run will take, as a model of the engine: pure functions of a sample, a place and the quotas.

    work     how much there is to do: totals and longest records, drawn from a stratified sample's times
    local    on hosts of this machine: wall time
    stack    on a stack: submission, ramp, cold starts, slices, ticks, merges -> wall time, dollars, requests
    draws    many forecasts as an interval
    limits   which limit decides, and what lifts it
    place    what a stack is like, and what is submitted to it

Every figure is drawn some hundred times, and told as its median and the 90% between. Imports the core's
spending, the quotas, and NumPy. When it is wrong, people wait longer, or pay more, than they were told.
"""

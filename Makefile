.PHONY: build test bench bench-short fuzz fault wire demo

# One binary, no cgo.
build:
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o larkspur .

# Installs what the tests' real peers need (Debian, as root or with sudo), then
# runs everything with the race detector.
test:
	@.ci/packages
	@.ci/test

# Measures, and writes docs/BENCHMARKS.md.
bench:
	@.ci/measure

# The same kernels, once and briefly: that they still run.
bench-short:
	@CGO_ENABLED=0 go test -run '^$$' -bench 'Decode|Lookups|WantsDNS|Scan|MatchFile|CommitsOfARun|Week' -benchtime 1x ./engine/capture ./engine/runner ./rules ./appliance/trial >/dev/null && echo "benchmarks run"

# One minute for every reader of outside bytes.
FUZZTIME ?= 60s
fuzz:
	@.ci/fuzz $(FUZZTIME)

# Kills, tears and checks the ledger, then kills real playbooks and checks what
# they did to the world, for as long as it takes; prints tables.
KILLS ?= 1100
CUTS ?= 300
SEED ?= 7
fault:
	FAULT_KILLS=$(KILLS) FAULT_CUTS=$(CUTS) FAULT_SEED=$(SEED) CGO_ENABLED=0 go test -run "TestFaults|TestPowerCuts" -v -count 1 -parallel 4 -timeout 120m ./engine/ledger/fault
	FAULT_KILLS=$(KILLS) FAULT_SEED=$(SEED) CGO_ENABLED=0 go test -run TestFaults -v -count 1 -timeout 120m ./appliance/story/fault

# Plays the story of the demo with the built program, a real mail server and a
# cable (as root), over which RATE frames of other DNS pass a second; no counter
# of losses may move. The tests play it with 20,000 a second for 2 seconds.
RATE ?= 300000
SECONDS ?= 10
wire:
	@RATE=$(RATE) SECONDS=$(SECONDS) CI=true CGO_ENABLED=0 go test -run '^TestNetflix(Beside|FromDnstap|FromALog)' -v -count 1 ./appliance/story | grep -E '^ *(---|ok|FAIL|.*frames passed)|want .* frames'

demo:
	go run . demo

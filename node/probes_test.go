package node

import "testing"

func TestThresholdsNeedResultsInARow(t *testing.T) {
	for name, c := range map[string]struct {
		t       thresholds
		results string // + success, - failure
		want    string // per result: . nothing, U changed to true, D to false
	}{
		"readiness":       {thresholds{success: 1, failure: 3}, "-----+--+---+", "..D..U.....DU"},
		"readiness twice": {thresholds{success: 2, failure: 1}, "+-++", ".D.U"},
		"liveness":        {thresholds{success: 1, failure: 3, value: true, told: true}, "++--+---", ".......D"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			for _, r := range c.results {
				switch {
				case !c.t.result(r == '+'):
					got += "."
				case c.t.value:
					got += "U"
				default:
					got += "D"
				}
			}
			if got != c.want {
				t.Errorf("%s gave %s, want %s", c.results, got, c.want)
			}
		})
	}
}

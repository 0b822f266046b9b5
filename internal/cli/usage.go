package cli

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/unite-hub/berth/client"
)

func (a *app) usageCommand() *cobra.Command {
	span := client.UsageSpan{Hours: 24}
	cmd := &cobra.Command{Use: "usage ORG", Short: "Show what a tenant used, by period, in sum and on average", Args: cobra.ExactArgs(1)}
	cmd.Flags().IntVar(&span.Hours, "hours", span.Hours, "how far back")
	cmd.Flags().StringVar(&span.Resolution, "resolution", "", "minute, hour or day (default: minutes up to 6 hours, hours up to 14 days, else days)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if span.Hours < 1 {
			return usagef("--hours must be 1 or more; %d was given", span.Hours)
		}
		switch span.Resolution {
		case "", "minute", "hour", "day":
		default:
			return usagef("--resolution must be minute, hour or day; %q was given", span.Resolution)
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		u, err := c.Usage(cmd.Context(), args[0], span)
		if err != nil {
			return err
		}
		return a.show(func() [][]string { return usageRows(u) })
	}
	return cmd
}

// usageRows shows times in UTC: periods of days begin there.
func usageRows(u client.Usage) [][]string {
	rows := [][]string{{"FROM", "TO", "CPU", "CPU MAX", "MEMORY", "MEM MAX", "RX", "TX", "READ", "WRITTEN", "DISK", "REQUESTS", "ERRORS", "MS", "THROTTLED", "OOM"}}
	for _, p := range u.Periods {
		rows = append(rows, append([]string{p.PeriodStart.UTC().Format("01-02 15:04:05"), p.PeriodEnd.UTC().Format("01-02 15:04:05")}, figureCells(p.UsageFigures)...))
	}
	covered := (time.Duration(u.Average.CoveredSeconds) * time.Second).String()
	return append(rows, append([]string{"in all", covered}, figureCells(u.Average.UsageFigures)...))
}

func figureCells(f client.UsageFigures) []string {
	return []string{
		percentCell(f.CPUUsagePercentAvg), percentCell(f.CPUUsagePercentMax), megabyteCell(f.MemoryUsageMBAvg), megabyteCell(f.MemoryUsageMBMax),
		byteCell(f.NetworkRxBytes), byteCell(f.NetworkTxBytes), megabyteCell(f.DiskIOReadMB), megabyteCell(f.DiskIOWriteMB), megabyteCell(f.DiskUsageMB),
		countCell(f.RequestCount), countCell(f.ErrorCount), numberCell(f.AvgResponseTimeMs), countCell(f.CPUThrottlingCount), countCell(f.OOMKillCount),
	}
}

// Cells show what is not known as a dash: it is not nothing.

func percentCell(v *float64) string {
	if v == nil {
		return "-"
	}
	return strconv.FormatFloat(*v, 'f', 1, 64) + "%"
}

func numberCell(v *float64) string {
	if v == nil {
		return "-"
	}
	return strconv.FormatFloat(*v, 'f', 1, 64)
}

func countCell(v *int64) string {
	if v == nil {
		return "-"
	}
	return strconv.FormatInt(*v, 10)
}

func megabyteCell(v *float64) string {
	if v == nil {
		return "-"
	}
	return bytesText(*v * (1 << 20))
}

func byteCell(v *int64) string {
	if v == nil {
		return "-"
	}
	return bytesText(float64(*v))
}

// bytesText shows bytes in steps of 1024, as limits are given.
func bytesText(n float64) string {
	unit := 0
	units := []string{"B", "KB", "MB", "GB", "TB", "PB"}
	for n >= 1024 && unit < len(units)-1 {
		n, unit = n/1024, unit+1
	}
	if unit == 0 || n >= 100 {
		return fmt.Sprintf("%.0f %s", n, units[unit])
	}
	return fmt.Sprintf("%.1f %s", n, units[unit])
}

package page

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/desk"
)

// fileView is an attachment on an incident's page.
type fileView struct {
	engine.Attachment
	Bytes string
}

// indicatorView is an indicator there.
type indicatorView struct {
	engine.Indicator
	Says, Tone string
}

func (v *incidentView) addEvidence(s desk.Story) {
	for _, a := range s.Attachments {
		v.Files = append(v.Files, fileView{a, bytesOf(a.Size)})
	}
	for _, i := range s.Indicators {
		tone := map[string]string{"malicious": "critical", "suspicious": "medium", "clean": "done"}[i.Verdict]
		v.Indicators = append(v.Indicators, indicatorView{i, strings.Join(i.Sources, ", "), tone})
	}
}

// bytesOf writes a size as people read it.
func bytesOf(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d bytes", n)
	case n < 1000*1000:
		return fmt.Sprintf("%.1f kB", float64(n)/1000)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

// Attachment serves GET /incidents/:id/attachments/:sum: a file to keep, of which a
// browser shows nothing.
func (p *Pages) Attachment(c echo.Context) error {
	a, content, err := p.Desk.Attachment(p.frame(c, "incidents").Who, c.Param("id"), c.Param("sum"))
	if err != nil {
		return err
	}
	desk.Download(c.Response().Header(), a.Name)
	return c.Blob(http.StatusOK, echo.MIMEOctetStream, content)
}

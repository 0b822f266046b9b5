package main

import (
	"bytes"
	"html/template"
	"net/http"
)

// page shows whose copy of the product this is. html/template makes any name
// text, whatever it holds.
var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Name}}</title></head>
<body>
<h1>{{.Name}}</h1>
<p>Tenant <code>{{.ID}}</code>, version <code>{{.Version}}</code></p>
<p>{{with .Notes}}{{.Total}} notes{{else}}The notes can't be read just now.{{end}}</p>
</body>
</html>
`))

func (w web) page(rw http.ResponseWriter, r *http.Request) {
	ctx, cancel := bounded(r)
	defer cancel()
	show := struct {
		Name, ID, Version string
		Notes             *noteList // nil if the database is away
	}{Name: w.cfg.TenantName, ID: w.cfg.TenantID, Version: version}
	list, err := w.records.Notes(ctx, 1)
	if err != nil {
		w.log.Warn("page without notes", "error", err)
	} else {
		show.Notes = &list
	}
	var page bytes.Buffer
	if err := pageTemplate.Execute(&page, show); err != nil {
		w.log.Error("page failed", "error", err)
		http.Error(rw, "the page could not be made", http.StatusInternalServerError)
		return
	}
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = rw.Write(page.Bytes()) // the client may be gone
}

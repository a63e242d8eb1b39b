package dialog

import "github.com/gitaccess/gitaccess/internal/powershell"

// kinds is empty for a session without a screen.
func kinds(getenv func(string) string) []kind {
	if getenv("SSH_CONNECTION") != "" {
		return nil
	}
	return []kind{powershellKind}
}

// powershellKind gets the script in base64 and the texts in its environment, so that no text becomes a part of the script.
var powershellKind = kind{name: "powershell.exe", yesCode: true, call: func(f form, title, text string) (args, env []string) {
	what := map[form]string{secret: "secret", line: "line", yesNo: "yesno", notice: "notice"}[f]
	return []string{"-NoProfile", "-NonInteractive", "-STA", "-EncodedCommand", powershell.Encode(script)},
		[]string{"ACCESS_DIALOG=" + what, "ACCESS_DIALOG_TITLE=" + title, "ACCESS_DIALOG_TEXT=" + text}
}}

const script = `
$ErrorActionPreference = 'Stop'
try {
  Add-Type -AssemblyName System.Windows.Forms
  Add-Type -AssemblyName System.Drawing
  $what = $env:ACCESS_DIALOG
  $text = $env:ACCESS_DIALOG_TEXT
  $title = $env:ACCESS_DIALOG_TITLE
  if ($what -eq 'yesno') {
    $r = [Windows.Forms.MessageBox]::Show($text, $title, 'YesNo', 'Warning', 'Button2')
    if ($r -eq 'Yes') { exit 0 } else { exit 1 }
  }
  if ($what -eq 'notice') {
    [void][Windows.Forms.MessageBox]::Show($text, $title, 'OK', 'Information')
    exit 0
  }
  $f = New-Object Windows.Forms.Form
  $f.Text = $title; $f.TopMost = $true; $f.AutoSize = $true; $f.AutoSizeMode = 'GrowAndShrink'
  $f.FormBorderStyle = 'FixedDialog'; $f.MaximizeBox = $false; $f.MinimizeBox = $false; $f.StartPosition = 'CenterScreen'
  $p = New-Object Windows.Forms.FlowLayoutPanel
  $p.FlowDirection = 'TopDown'; $p.AutoSize = $true; $p.Padding = New-Object Windows.Forms.Padding 12
  $l = New-Object Windows.Forms.Label
  $l.UseMnemonic = $false; $l.Text = $text; $l.AutoSize = $true; $l.MaximumSize = New-Object Drawing.Size 480, 0
  $t = New-Object Windows.Forms.TextBox
  $t.Width = 480; $t.UseSystemPasswordChar = ($what -eq 'secret')
  $b = New-Object Windows.Forms.FlowLayoutPanel
  $b.AutoSize = $true
  $ok = New-Object Windows.Forms.Button
  $ok.Text = 'OK'; $ok.DialogResult = 'OK'
  $no = New-Object Windows.Forms.Button
  $no.Text = 'Cancel'; $no.DialogResult = 'Cancel'
  $b.Controls.Add($ok); $b.Controls.Add($no)
  $p.Controls.Add($l); $p.Controls.Add($t); $p.Controls.Add($b)
  $f.Controls.Add($p); $f.AcceptButton = $ok; $f.CancelButton = $no
  $f.Add_Shown({ $f.Activate(); $t.Select() })
  if ($f.ShowDialog() -ne 'OK') { exit 1 }
  [Console]::OutputEncoding = New-Object Text.UTF8Encoding $false
  [Console]::Out.Write($t.Text)
  exit 0
} catch {
  [Console]::Error.WriteLine($_.Exception.Message)
  exit 2
}
`

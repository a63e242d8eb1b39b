# PowerShell completion for access, printed by: access completion powershell
#
# For this shell:      access completion powershell | Out-String | Invoke-Expression
# For every shell:     access completion powershell >> $PROFILE
Register-ArgumentCompleter -Native -CommandName access -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements | Select-Object -Skip 1 |
        Where-Object { $_.Extent.StartOffset -lt $cursorPosition } | ForEach-Object { $_.ToString() })
    # An empty word does not get through from all versions of PowerShell.
    if ($wordToComplete -eq '') { $words += '""' }
    & $commandAst.CommandElements[0].ToString() __complete @words 2>$null | ForEach-Object {
        $word, $description = $_ -split "`t", 2
        if (-not $description) { $description = $word }
        [System.Management.Automation.CompletionResult]::new($word, $word, 'ParameterValue', $description)
    }
}

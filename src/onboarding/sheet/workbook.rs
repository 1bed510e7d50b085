//! The sheet as a workbook: an overview of what is done, then a tab for each topic with a column to tick off.

use rust_xlsxwriter::{
    Color, ConditionalFormatCell, ConditionalFormatCellRule, DataValidation, DocProperties, ExcelDateTime,
    Format, FormatAlign, FormatBorder, Formula, Url, Workbook, Worksheet, XlsxError,
};

use super::content::{DONE, Sheet, Topic};

/// The row of the header. The title, the place and the note are above it.
const HEADER_ROW: u32 = 4;
/// The greatest width of a column, in characters. Longer text wraps.
const WIDTH_MAX: usize = 52;
/// The values of the column to tick off, in the order of the work.
const STATES: [&str; 3] = ["open", "done", "not needed"];
const PAPER_A4: u8 = 9;
/// Colours of headers, of every second row, of lines and of notes; then background and text of done cells.
const HEAD: Color = Color::RGB(0x1F_3A5F);
const BAND: Color = Color::RGB(0xF3_F6F9);
const LINE: Color = Color::RGB(0xD5_DBE3);
const QUIET: Color = Color::RGB(0x55_606E);
const DONE_PAPER: Color = Color::RGB(0xD9_F0DD);
const DONE_INK: Color = Color::RGB(0x14_532D);

pub(super) fn write(sheet: &Sheet) -> Result<Vec<u8>, XlsxError> {
    let mut workbook = Workbook::new();
    // The day is fixed, so that the same settings give the same file, and two sheets can be compared.
    let day = ExcelDateTime::from_ymd(2026, 1, 1)?;
    let properties =
        DocProperties::new().set_title(&sheet.title).set_author("passbridge").set_creation_datetime(&day);
    workbook.set_properties(&properties);
    let styles = Styles::new();
    write_overview(workbook.add_worksheet(), sheet, &styles)?;
    for topic in &sheet.topics {
        write_topic(workbook.add_worksheet(), &sheet.title, topic, &styles)?;
    }
    workbook.save_to_buffer()
}

struct Styles {
    heading: Format,
    place: Format,
    note: Format,
    head: Format,
    cell: Format,
    band: Format,
    link: Format,
}

impl Styles {
    fn new() -> Styles {
        let note = Format::new().set_font_color(QUIET).set_text_wrap().set_align(FormatAlign::Top);
        let cell = Format::new()
            .set_text_wrap()
            .set_align(FormatAlign::Top)
            .set_border(FormatBorder::Thin)
            .set_border_color(LINE);
        Styles {
            heading: Format::new().set_bold().set_font_size(15).set_font_color(HEAD),
            place: note.clone().set_bold(),
            head: cell.clone().set_bold().set_font_color(Color::White).set_background_color(HEAD),
            band: cell.clone().set_background_color(BAND),
            link: cell.clone().set_font_color(HEAD).set_bold(),
            note,
            cell,
        }
    }

    /// The format of the cells in a row: every second row is shaded.
    fn of_row(&self, row: u32) -> &Format {
        if row.is_multiple_of(2) { &self.band } else { &self.cell }
    }
}

fn write_overview(tab: &mut Worksheet, sheet: &Sheet, styles: &Styles) -> Result<(), XlsxError> {
    const COLUMNS: [(&str, f64); 5] =
        [("Topic", 16.0), ("Where", 66.0), ("Settings", 11.0), ("Done", 11.0), ("Open", 11.0)];
    tab.set_name("Overview")?;
    write_head(
        tab,
        &sheet.title,
        "How to use it",
        "Each tab is a place where something is set. Choose done or not needed in its last column.",
        4,
        styles,
    )?;
    for (number, (name, width)) in (0..).zip(COLUMNS) {
        tab.write_with_format(HEADER_ROW, number, name, &styles.head)?;
        tab.set_column_width(number, width)?;
    }
    for (row, topic) in (HEADER_ROW + 1..).zip(&sheet.topics) {
        let format = styles.of_row(row);
        let link = Url::new(format!("internal:'{}'!A1", topic.name)).set_text(topic.name);
        tab.write_url_with_format(row, 0, link, &styles.link)?;
        tab.write_with_format(row, 1, topic.place, format)?;
        tab.write_with_format(row, 2, topic.rows.len() as u32, format)?;
        let settings = topic.rows.len().to_string();
        for (column, state, result) in [(3, STATES[1], "0"), (4, STATES[0], &settings)] {
            let count = Formula::new(format!("=COUNTIF({},\"{state}\")", states_of(topic)));
            tab.write_formula_with_format(row, column, count.set_result(result), format)?;
        }
    }
    finish(tab)
}

/// The column to tick off in a topic's tab, as a formula in another tab names it.
fn states_of(topic: &Topic) -> String {
    let (first, last) = (HEADER_ROW + 2, HEADER_ROW + 1 + topic.rows.len() as u32);
    // A topic has fewer columns than the alphabet has letters.
    let column = char::from(b'A' + topic.columns.len() as u8);
    format!("'{}'!${column}${first}:${column}${last}", topic.name)
}

fn write_topic(tab: &mut Worksheet, title: &str, topic: &Topic, styles: &Styles) -> Result<(), XlsxError> {
    let done = topic.columns.len() as u16;
    let last_row = HEADER_ROW + topic.rows.len() as u32;
    tab.set_name(topic.name)?;
    write_head(tab, title, topic.place, topic.note, done, styles)?;
    for (number, name) in (0..).zip(topic.columns.iter().chain(&[DONE])) {
        tab.write_with_format(HEADER_ROW, number, *name, &styles.head)?;
    }
    for (number, row) in (HEADER_ROW + 1..).zip(&topic.rows) {
        let format = styles.of_row(number);
        for (column, text) in (0..).zip(row) {
            tab.write_string_with_format(number, column, text, format)?;
        }
        tab.write_string_with_format(number, done, STATES[0], format)?;
    }
    for (number, name) in (0..).zip(topic.columns) {
        let longest = topic.rows.iter().map(|row| row[usize::from(number)].chars().count());
        let width = longest.chain([name.len()]).max().unwrap_or(0).min(WIDTH_MAX) + 3;
        tab.set_column_width(number, width as f64)?;
    }
    tab.set_column_width(done, 12)?;
    let states = DataValidation::new().allow_list_strings(&STATES)?;
    tab.add_data_validation(HEADER_ROW + 1, done, last_row, done, &states)?;
    let is_done = ConditionalFormatCell::new()
        .set_rule(ConditionalFormatCellRule::EqualTo(STATES[1]))
        .set_format(Format::new().set_background_color(DONE_PAPER).set_font_color(DONE_INK));
    tab.add_conditional_format(HEADER_ROW + 1, done, last_row, done, &is_done)?;
    tab.autofilter(HEADER_ROW, 0, last_row, done)?;
    finish(tab)
}

fn write_head(
    tab: &mut Worksheet,
    title: &str,
    place: &str,
    note: &str,
    last_column: u16,
    styles: &Styles,
) -> Result<(), XlsxError> {
    tab.merge_range(0, 0, 0, last_column, title, &styles.heading)?;
    tab.merge_range(1, 0, 1, last_column, place, &styles.place)?;
    tab.merge_range(2, 0, 2, last_column, note, &styles.note)?;
    // The height of a merged cell does not follow its text.
    tab.set_row_height(0, 24)?;
    tab.set_row_height(2, 46)?;
    Ok(())
}

/// What every tab has: a header that stays visible, on the screen and on each printed page.
fn finish(tab: &mut Worksheet) -> Result<(), XlsxError> {
    tab.set_freeze_panes(HEADER_ROW + 1, 1)?;
    tab.set_repeat_rows(HEADER_ROW, HEADER_ROW)?;
    tab.set_landscape().set_paper_size(PAPER_A4).set_print_fit_to_pages(1, 0);
    tab.set_screen_gridlines(false).set_tab_color(HEAD);
    tab.set_footer("&L&F&C&A&RPage &P of &N");
    Ok(())
}
